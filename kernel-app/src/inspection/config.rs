//! Configuration as it is in force. Secrets are not shown.

use crate::Platform;
use crate::context::Context;
use config::KeyValue;
use inspect::{Column, Table};

static TABLE: Table<KeyValue> = Table {
    name: "config",
    help: "Every key of appliance.toml, with the value that is in force.",
    columns: &[
        Column::text("section", "Its section.", |row| row.section.into()),
        Column::text("key", "Its name.", |row| row.name.into()),
        Column::text(
            "value",
            "Its value as TOML; \"(secret)\" for one that is not shown.",
            |row| row.value.as_str().into(),
        ),
        Column::flag("is_default", "It is the default.", |row| row.is_default.into()),
    ],
};

pub(super) fn add<P: Platform>(context: &Context<P>) {
    let of = context.live_settings.clone();
    context.inspector.add_table(&TABLE, move |visit| {
        config::values(&of.get()).iter().for_each(visit);
    });
}
