//! SQLSTATE: what kind of error it is (PostgreSQL documentation, appendix A).

use core::fmt;

macro_rules! states {
    ($($(#[$doc:meta])* $name:ident = $code:literal),* $(,)?) => {
        /// What kind of error, by its code of five characters. Those that a program may want to tell apart have a name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum SqlState {
            $($(#[$doc])* $name,)*
            /// Another code.
            Other([u8; 5]),
        }

        impl SqlState {
            /// That of a code.
            pub fn from_code(code: [u8; 5]) -> Self {
                match &code {
                    $($code => Self::$name,)*
                    _ => Self::Other(code),
                }
            }

            /// Its five characters.
            pub fn code(&self) -> [u8; 5] {
                match self {
                    $(Self::$name => *$code,)*
                    Self::Other(code) => *code,
                }
            }
        }
    };
}

states! {
    /// `08000`: connection exception.
    ConnectionException = b"08000",
    /// `08003`: connection does not exist.
    ConnectionDoesNotExist = b"08003",
    /// `08006`: connection failure.
    ConnectionFailure = b"08006",
    /// `08001`: sqlclient unable to establish sqlconnection.
    SqlclientUnableToEstablishSqlconnection = b"08001",
    /// `08004`: sqlserver rejected establishment of sqlconnection.
    SqlserverRejectedEstablishmentOfSqlconnection = b"08004",
    /// `08007`: transaction resolution unknown.
    TransactionResolutionUnknown = b"08007",
    /// `08P01`: protocol violation.
    ProtocolViolation = b"08P01",
    /// `0A000`: feature not supported.
    FeatureNotSupported = b"0A000",
    /// `21000`: cardinality violation.
    CardinalityViolation = b"21000",
    /// `22000`: data exception.
    DataException = b"22000",
    /// `22021`: character not in repertoire.
    CharacterNotInRepertoire = b"22021",
    /// `22008`: datetime field overflow.
    DatetimeFieldOverflow = b"22008",
    /// `22012`: division by zero.
    DivisionByZero = b"22012",
    /// `22007`: invalid datetime format.
    InvalidDatetimeFormat = b"22007",
    /// `22023`: invalid parameter value.
    InvalidParameterValue = b"22023",
    /// `2201B`: invalid regular expression.
    InvalidRegularExpression = b"2201B",
    /// `2201W`: invalid row count in limit clause.
    InvalidRowCountInLimitClause = b"2201W",
    /// `2201X`: invalid row count in result offset clause.
    InvalidRowCountInResultOffsetClause = b"2201X",
    /// `22004`: null value not allowed.
    NullValueNotAllowed = b"22004",
    /// `22003`: numeric value out of range.
    NumericValueOutOfRange = b"22003",
    /// `22026`: string data length mismatch.
    StringDataLengthMismatch = b"22026",
    /// `22001`: string data right truncation.
    StringDataRightTruncation = b"22001",
    /// `22011`: substring error.
    SubstringError = b"22011",
    /// `22P01`: floating point exception.
    FloatingPointException = b"22P01",
    /// `22P02`: invalid text representation.
    InvalidTextRepresentation = b"22P02",
    /// `22P03`: invalid binary representation.
    InvalidBinaryRepresentation = b"22P03",
    /// `22P04`: bad copy file format.
    BadCopyFileFormat = b"22P04",
    /// `22P05`: untranslatable character.
    UntranslatableCharacter = b"22P05",
    /// `23000`: integrity constraint violation.
    IntegrityConstraintViolation = b"23000",
    /// `23001`: restrict violation.
    RestrictViolation = b"23001",
    /// `23502`: not null violation.
    NotNullViolation = b"23502",
    /// `23503`: foreign key violation.
    ForeignKeyViolation = b"23503",
    /// `23505`: unique violation.
    UniqueViolation = b"23505",
    /// `23514`: check violation.
    CheckViolation = b"23514",
    /// `23P01`: exclusion violation.
    ExclusionViolation = b"23P01",
    /// `25000`: invalid transaction state.
    InvalidTransactionState = b"25000",
    /// `25001`: active sql transaction.
    ActiveSqlTransaction = b"25001",
    /// `25002`: branch transaction already active.
    BranchTransactionAlreadyActive = b"25002",
    /// `25008`: held cursor requires same isolation level.
    HeldCursorRequiresSameIsolationLevel = b"25008",
    /// `25003`: inappropriate access mode for branch transaction.
    InappropriateAccessModeForBranchTransaction = b"25003",
    /// `25004`: inappropriate isolation level for branch transaction.
    InappropriateIsolationLevelForBranchTransaction = b"25004",
    /// `25005`: no active sql transaction for branch transaction.
    NoActiveSqlTransactionForBranchTransaction = b"25005",
    /// `25006`: read only sql transaction.
    ReadOnlySqlTransaction = b"25006",
    /// `25007`: schema and data statement mixing not supported.
    SchemaAndDataStatementMixingNotSupported = b"25007",
    /// `25P01`: no active sql transaction.
    NoActiveSqlTransaction = b"25P01",
    /// `25P02`: in failed sql transaction.
    InFailedSqlTransaction = b"25P02",
    /// `25P03`: idle in transaction session timeout.
    IdleInTransactionSessionTimeout = b"25P03",
    /// `26000`: invalid sql statement name.
    InvalidSqlStatementName = b"26000",
    /// `28000`: invalid authorization specification.
    InvalidAuthorizationSpecification = b"28000",
    /// `28P01`: invalid password.
    InvalidPassword = b"28P01",
    /// `2D000`: invalid transaction termination.
    InvalidTransactionTermination = b"2D000",
    /// `34000`: invalid cursor name.
    InvalidCursorName = b"34000",
    /// `3B000`: savepoint exception.
    SavepointException = b"3B000",
    /// `3B001`: invalid savepoint specification.
    InvalidSavepointSpecification = b"3B001",
    /// `3D000`: invalid catalog name.
    InvalidCatalogName = b"3D000",
    /// `3F000`: invalid schema name.
    InvalidSchemaName = b"3F000",
    /// `40000`: transaction rollback.
    TransactionRollback = b"40000",
    /// `40002`: transaction integrity constraint violation.
    TransactionIntegrityConstraintViolation = b"40002",
    /// `40001`: serialization failure.
    SerializationFailure = b"40001",
    /// `40003`: statement completion unknown.
    StatementCompletionUnknown = b"40003",
    /// `40P01`: deadlock detected.
    DeadlockDetected = b"40P01",
    /// `42000`: syntax error or access rule violation.
    SyntaxErrorOrAccessRuleViolation = b"42000",
    /// `42601`: syntax error.
    SyntaxError = b"42601",
    /// `42501`: insufficient privilege.
    InsufficientPrivilege = b"42501",
    /// `42846`: cannot coerce.
    CannotCoerce = b"42846",
    /// `42803`: grouping error.
    GroupingError = b"42803",
    /// `42P20`: windowing error.
    WindowingError = b"42P20",
    /// `42P19`: invalid recursion.
    InvalidRecursion = b"42P19",
    /// `42830`: invalid foreign key.
    InvalidForeignKey = b"42830",
    /// `42602`: invalid name.
    InvalidName = b"42602",
    /// `42622`: name too long.
    NameTooLong = b"42622",
    /// `42939`: reserved name.
    ReservedName = b"42939",
    /// `42804`: datatype mismatch.
    DatatypeMismatch = b"42804",
    /// `42P18`: indeterminate datatype.
    IndeterminateDatatype = b"42P18",
    /// `42P21`: collation mismatch.
    CollationMismatch = b"42P21",
    /// `42P22`: indeterminate collation.
    IndeterminateCollation = b"42P22",
    /// `42809`: wrong object type.
    WrongObjectType = b"42809",
    /// `428C9`: generated always.
    GeneratedAlways = b"428C9",
    /// `42703`: undefined column.
    UndefinedColumn = b"42703",
    /// `42883`: undefined function.
    UndefinedFunction = b"42883",
    /// `42P01`: undefined table.
    UndefinedTable = b"42P01",
    /// `42P02`: undefined parameter.
    UndefinedParameter = b"42P02",
    /// `42704`: undefined object.
    UndefinedObject = b"42704",
    /// `42701`: duplicate column.
    DuplicateColumn = b"42701",
    /// `42P03`: duplicate cursor.
    DuplicateCursor = b"42P03",
    /// `42P04`: duplicate database.
    DuplicateDatabase = b"42P04",
    /// `42723`: duplicate function.
    DuplicateFunction = b"42723",
    /// `42P05`: duplicate prepared statement.
    DuplicatePreparedStatement = b"42P05",
    /// `42P06`: duplicate schema.
    DuplicateSchema = b"42P06",
    /// `42P07`: duplicate table.
    DuplicateTable = b"42P07",
    /// `42712`: duplicate alias.
    DuplicateAlias = b"42712",
    /// `42710`: duplicate object.
    DuplicateObject = b"42710",
    /// `42702`: ambiguous column.
    AmbiguousColumn = b"42702",
    /// `42725`: ambiguous function.
    AmbiguousFunction = b"42725",
    /// `42P08`: ambiguous parameter.
    AmbiguousParameter = b"42P08",
    /// `42P09`: ambiguous alias.
    AmbiguousAlias = b"42P09",
    /// `42P10`: invalid column reference.
    InvalidColumnReference = b"42P10",
    /// `42611`: invalid column definition.
    InvalidColumnDefinition = b"42611",
    /// `42P11`: invalid cursor definition.
    InvalidCursorDefinition = b"42P11",
    /// `42P12`: invalid database definition.
    InvalidDatabaseDefinition = b"42P12",
    /// `42P13`: invalid function definition.
    InvalidFunctionDefinition = b"42P13",
    /// `42P14`: invalid prepared statement definition.
    InvalidPreparedStatementDefinition = b"42P14",
    /// `42P15`: invalid schema definition.
    InvalidSchemaDefinition = b"42P15",
    /// `42P16`: invalid table definition.
    InvalidTableDefinition = b"42P16",
    /// `42P17`: invalid object definition.
    InvalidObjectDefinition = b"42P17",
    /// `44000`: with check option violation.
    WithCheckOptionViolation = b"44000",
    /// `53000`: insufficient resources.
    InsufficientResources = b"53000",
    /// `53100`: disk full.
    DiskFull = b"53100",
    /// `53200`: out of memory.
    OutOfMemory = b"53200",
    /// `53300`: too many connections.
    TooManyConnections = b"53300",
    /// `53400`: configuration limit exceeded.
    ConfigurationLimitExceeded = b"53400",
    /// `54000`: program limit exceeded.
    ProgramLimitExceeded = b"54000",
    /// `54001`: statement too complex.
    StatementTooComplex = b"54001",
    /// `54011`: too many columns.
    TooManyColumns = b"54011",
    /// `54023`: too many arguments.
    TooManyArguments = b"54023",
    /// `55000`: object not in prerequisite state.
    ObjectNotInPrerequisiteState = b"55000",
    /// `55006`: object in use.
    ObjectInUse = b"55006",
    /// `55P02`: cant change runtime param.
    CantChangeRuntimeParam = b"55P02",
    /// `55P03`: lock not available.
    LockNotAvailable = b"55P03",
    /// `55P04`: unsafe new enum value usage.
    UnsafeNewEnumValueUsage = b"55P04",
    /// `57000`: operator intervention.
    OperatorIntervention = b"57000",
    /// `57014`: query canceled.
    QueryCanceled = b"57014",
    /// `57P01`: admin shutdown.
    AdminShutdown = b"57P01",
    /// `57P02`: crash shutdown.
    CrashShutdown = b"57P02",
    /// `57P03`: cannot connect now.
    CannotConnectNow = b"57P03",
    /// `57P04`: database dropped.
    DatabaseDropped = b"57P04",
    /// `57P05`: idle session timeout.
    IdleSessionTimeout = b"57P05",
    /// `58000`: system error.
    SystemError = b"58000",
    /// `58030`: io error.
    IoError = b"58030",
    /// `58P01`: undefined file.
    UndefinedFile = b"58P01",
    /// `58P02`: duplicate file.
    DuplicateFile = b"58P02",
    /// `XX000`: internal error.
    InternalError = b"XX000",
    /// `XX001`: data corrupted.
    DataCorrupted = b"XX001",
    /// `XX002`: index corrupted.
    IndexCorrupted = b"XX002",
}

impl SqlState {
    /// Its class: the first two characters, such as `23` for a constraint that is violated.
    pub fn class(&self) -> [u8; 2] {
        let [first, second, ..] = self.code();
        [first, second]
    }

    /// Whether the same transaction, begun anew, may well succeed.
    pub fn is_worth_a_retry(&self) -> bool {
        matches!(self, Self::SerializationFailure | Self::DeadlockDetected)
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_code_is_the_same_there_and_back() {
        for (code, state) in [
            (*b"23505", SqlState::UniqueViolation),
            (*b"40001", SqlState::SerializationFailure),
            (*b"57014", SqlState::QueryCanceled),
            (*b"ZZ999", SqlState::Other(*b"ZZ999")),
        ] {
            assert_eq!((SqlState::from_code(code), state.code()), (state, code));
        }
        assert_eq!(SqlState::UniqueViolation.class(), *b"23");
        assert_eq!(SqlState::Other(*b"0\x001\n2").to_string(), "0\\x001\\n2");
        assert!(SqlState::DeadlockDetected.is_worth_a_retry());
        assert!(!SqlState::UniqueViolation.is_worth_a_retry());
    }
}
