//! `docs/openapi.json` is true: it has every path and every field of every table, and no other.

use super::World;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");

/// Paths that are no tables, with their methods, what each is for, and what is asked to see that it is there.
#[rustfmt::skip]
const PATHS: &[(&str, &str, &str, &str)] = &[
    ("/", "get", "The page, with its style sheet and scripts; no token, which it asks for", "200"),
    ("/healthz", "get", "200 as long as anything is answered; no token", "200"),
    ("/readyz", "get", "200 while visitors are taken, else 503; no token", "200"),
    ("/metrics", "get", "The metrics, as OpenMetrics or as Prometheus' older text, whichever `Accept` wants", "200"),
    ("/api/v1/capture", "get", "Frames as pcapng while they come: `?filter=` in the words of pcap-filter(7), `?card=`, `?snap=` bytes of each, until there are `?count=` or `?seconds=` are over", "404"),
    ("/api/v1/connections/{id}/trace", "get", "The segments of a connection as events, for `?seconds=`; with `?format=xpl` its time-sequence graph for xplot, `?direction=` sent or received", "404"),
    ("/api/v1/shared_memory_flows/{id}/trace", "get", "The steps of a flow through shared memory as events, for `?seconds=`; with `?format=xpl` the graph of one of its rings for xplot, `?direction=` sent or received", "404"),
    ("/api/v1/trace", "get", "What the loop and its tasks do for `?seconds=`, as events that Perfetto and chrome://tracing read", "200"),
    ("/api/v1/profile", "get", "What the CPU was at for `?seconds=`, sampled `?hertz=` times in each, as folded stacks", "503"),
    ("/api/v1/log/levels", "get", "The levels of the log, `*` for all modules without one of their own", "200"),
    ("/api/v1/log/modules", "get", "The modules that log", "200"),
    ("/api/v1/log/levels/{module}", "put", "Sets a module's level by `?level=`", "204"),
    ("/api/v1/log/levels/{module}", "delete", "Has a module logged as all others, and `*` as the configuration says", "204"),
    ("/api/v1/bundle", "put", "Serves the site of the bundle that is the content from now on; nothing changes unless all of it is right", "400"),
    ("/api/v1/bundle", "post", "Serves the site that is on the disk `?disk=` now, which 1 is the first of, from its folder `?folder=` if that is not the configured one; nothing changes unless all of it is right", "400"),
    ("/api/v1/tasks/dump", "post", "Writes all tasks into the log, those together that wait at the same place; the answer is what was written", "200"),
    ("/api/v1/tasks/{id}/cancel", "post", "Ends a task at once", "404"),
    ("/api/v1/sessions/{id}/values/{name}", "put", "Gives a session's value what the content says", "404"),
    ("/api/v1/sessions/{id}/commands/{name}", "post", "Has a session do what it offers, with the content as words", "404"),
    ("/api/v1/sessions/{id}/replay", "post", "Gives the requests of a session that are recorded to a copy of it, and says for each what that answered, and where it differs; in a process only", "404"),
    ("/login", "post", "Gives a browser a cookie for the token in the form's field `token`", "303"),
    ("/logout", "post", "Has a browser forget that cookie", "303"),
];

#[test]
fn the_description_has_every_path_and_field_and_no_other() {
    let world = World::new();
    let expected = document(&world);
    if std::env::var_os("AQUEDUCT_WRITE_OPENAPI").is_some() {
        let text = serde_json::to_string_pretty(&expected).unwrap();
        std::fs::write(FILE, text + "\n").unwrap();
    }
    let text = std::fs::read_to_string(FILE).expect("docs/openapi.json is there");
    let found: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(found, expected, "AQUEDUCT_WRITE_OPENAPI=1 writes it anew");
}

#[test]
fn every_path_is_there() {
    let world = World::new();
    for (path, method, _, status) in PATHS {
        let path =
            path.replace("{module}", "m?level=info").replace("{id}", "9.9").replace("{name}", "n");
        // A form, for the one that wants one.
        let fields = "Content-Type: application/x-www-form-urlencoded\r\n";
        let (seen, text) = world.admin_with(&method.to_uppercase(), &path, fields, "");
        assert_eq!(seen.to_string(), *status, "{method} {path}: {text}");
        assert!(!text.contains("there are: "), "{path} is taken for a table");
    }
    world.admin("DELETE", "/api/v1/log/levels/m");
}

/// What is answered has the fields of the description, whatever the description was made from.
#[test]
fn real_answers_have_the_fields_of_the_description() {
    let world = World::new();
    world.get("/session");
    world.get("/panic");
    aqueduct::panics::note(std::time::Duration::ZERO, "a.rs:1", "as it was told", None);
    let text = std::fs::read_to_string(FILE).unwrap();
    let described: Value = serde_json::from_str(&text).unwrap();
    for table in world.context.inspector.tables() {
        let fields = &described["components"]["schemas"][table.name()]["properties"];
        let described: BTreeSet<_> = fields.as_object().unwrap().keys().collect();
        for row in world.rows(table.name()) {
            let row = row.as_object().unwrap().clone();
            assert_eq!(row.keys().collect::<BTreeSet<_>>(), described, "{}", table.name());
        }
    }
}

fn document(world: &World) -> Value {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for (path, method, about, _) in PATHS {
        let operation = operation(about, path, &json!({"description": "See the summary."}));
        let methods = paths.entry(*path).or_insert_with(|| json!({}));
        methods.as_object_mut().unwrap().insert((*method).into(), operation);
    }
    for table in world.context.inspector.tables() {
        let mut properties = Map::new();
        for column in (0..table.columns()).map(|index| table.column(index)) {
            let name = match column.type_ {
                inspect::Type::Number => "integer",
                inspect::Type::Text => "string",
                inspect::Type::Flag => "boolean",
                inspect::Type::Members => "object",
            };
            let type_ = if column.is_nullable { json!([name, "null"]) } else { json!(name) };
            properties
                .insert(column.name.into(), json!({"type": type_, "description": column.help}));
        }
        // In one order, whether or not another crate of the workspace has maps keep theirs.
        let required: BTreeSet<_> = properties.keys().cloned().collect();
        let schema = json!({
            "type": "object", "description": table.help(), "properties": properties, "required": required,
        });
        schemas.insert(table.name().into(), schema);
        let rows = json!({"type": "array", "items": {"$ref": format!("#/components/schemas/{}", table.name())}});
        let answer = json!({
            "description": "The rows; `X-Total-Count` says how many there are.",
            "content": {"application/json": {"schema": rows}},
        });
        let mut parameters =
            vec![query("offset", "Rows to leave out"), query("limit", "Rows to show at most")];
        if table.name() == "log" {
            parameters.push(query(
                "follow",
                "An event stream of the lines that come, each as JSON, in place of rows",
            ));
            parameters.push(query("level", "With `follow`: the least important level"));
            parameters.push(query("module", "With `follow`: how the module begins"));
            parameters.push(query(
                "from",
                "With `follow`: the number of the first line; only those to come without it",
            ));
        }
        let mut operation = operation(table.help(), "", &answer);
        operation["parameters"] = Value::Array(parameters);
        paths.insert(format!("/api/v1/{}", table.name()), json!({"get": operation}));
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Aqueduct's admin port", "version": "1", "description": "See docs/inside.md."},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    })
}

fn operation(about: &str, path: &str, answer: &Value) -> Value {
    let names = path.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    let parameters: Vec<_> = names
        .map(|(name, _)| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    json!({"summary": about, "parameters": parameters, "responses": {"default": answer}})
}

fn query(name: &str, about: &str) -> Value {
    json!({"name": name, "in": "query", "description": about, "schema": {"type": "string"}})
}
