//! Prepared statements, kept in the order of their last use.

use super::shared::Shared;
use ::postgres::{Columns, Oid};
use alloc::format;
use alloc::rc::{Rc, Weak};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroUsize;
use lru::LruCache;

/// Descriptions that are kept of statements without names.
const DESCRIPTIONS_MAX: NonZeroUsize = NonZeroUsize::new(100).expect("not zero");

/// A statement that the server has parsed for this connection. Clones share it; with the last one the server forgets it. Where
/// there are no names ([`Options::statements_max`](super::Options::statements_max)), it is parsed with each execution.
#[derive(Clone)]
pub struct Statement(Rc<Prepared>);

pub(super) struct Prepared {
    pub(super) name: Name,
    pub(super) parameters: Vec<Oid>,
    pub(super) columns: Columns,
    shared: Weak<Shared>,
}

/// How the server is told which statement is meant.
#[derive(Clone, Debug)]
pub(super) enum Name {
    /// By a name, under which it is kept there.
    Kept(String),
    /// By its text.
    Text(String),
}

impl Statement {
    pub(super) fn new(
        name: Name,
        parameters: Vec<Oid>,
        columns: Columns,
        shared: &Rc<Shared>,
    ) -> Self {
        Self(Rc::new(Prepared { name, parameters, columns, shared: Rc::downgrade(shared) }))
    }

    /// The types of its parameters.
    pub fn parameters(&self) -> &[Oid] {
        &self.0.parameters
    }

    /// The columns of its rows; none if it has no rows.
    pub fn columns(&self) -> &Columns {
        &self.0.columns
    }

    pub(super) fn name(&self) -> &Name {
        &self.0.name
    }

    /// It is of this connection.
    pub(super) fn is_of(&self, shared: &Rc<Shared>) -> bool {
        core::ptr::eq(self.0.shared.as_ptr(), Rc::as_ptr(shared))
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let (Some(shared), Name::Kept(name)) = (self.shared.upgrade(), &mut self.name) {
            shared.forget(core::mem::take(name));
        }
    }
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Statement({:?}, parameters {:?})", self.0.name, self.0.parameters)
    }
}

/// Statements by their text.
pub(super) struct Cache {
    statements: LruCache<String, Statement>,
    /// In the names of this connection's statements, so that another's are never taken for them where something between hands
    /// connections round, as PgBouncer's transaction pooling does.
    tag: u32,
    made: u64,
    has_names: bool,
}

impl Cache {
    /// `tag` is random.
    pub(super) fn new(statements_max: usize, tag: u32) -> Self {
        let capacity = NonZeroUsize::new(statements_max).unwrap_or(DESCRIPTIONS_MAX);
        // It takes memory as it fills.
        let mut statements = LruCache::unbounded();
        statements.resize(capacity);
        Self { statements, tag, made: 0, has_names: statements_max > 0 }
    }

    pub(super) fn get(&mut self, sql: &str) -> Option<Statement> {
        self.statements.get(sql).cloned()
    }

    /// Keeps a statement; the one that has to go for it, which is to be dropped when nothing is borrowed.
    pub(super) fn put(&mut self, sql: &str, statement: Statement) -> Option<Statement> {
        self.statements.push(sql.to_string(), statement).map(|(_, old)| old)
    }

    /// Drops a statement whose types are no longer what they were.
    pub(super) fn remove(&mut self, sql: &str) -> Option<Statement> {
        self.statements.pop(sql)
    }

    pub(super) fn new_name(&mut self, sql: &str) -> Name {
        if !self.has_names {
            return Name::Text(sql.to_string());
        }
        self.made += 1;
        Name::Kept(format!("s{:x}.{}", self.tag, self.made))
    }
}
