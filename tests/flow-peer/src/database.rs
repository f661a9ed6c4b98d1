//! A client of PostgreSQL, with a real server: `flow-peer database ADDRESS CHECK [CERTIFICATE]`. The server is the lab's
//! (`tools/lab/src/postgres.rs`), with the user and the password below.

mod load;
mod many;
mod pooler;

use super::turns::Turns;
use aqueduct_linux::sockets::KernelConnector;
use endpoints::postgres::{
    Client, ClientError, Date, Environment, FromSql, Json, Numeric, Options, Pool, PoolConfig,
    Server, ServerTls, Settings, SqlState, TargetSession, Time, Timestamp, ToSql, Uuid, connect,
};
use endpoints::tls::TlsConfig;
use flow::Target;
use std::fmt::Debug;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tls::{ClientContext, ClientOptions, Clock, Trust};

const USER: &str = "admin";
const PASSWORD: &str = "pencil";

/// Runs the check of that name, or puts a load on the server.
pub(super) fn check(turns: &Turns, target: Target, name: &str, words: &[String]) {
    let (spawner, timers) = (turns.executor.spawner(), turns.timers.clone());
    let entropy = Rc::new(|bytes: &mut [u8]| {
        std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").expect("Linux"), bytes)
            .expect("random bytes");
    });
    let environment = Environment { spawner, timers, entropy, ledger: None };
    let is_pooled = name.starts_with("pooler");
    let options = Options {
        statements_max: if is_pooled { 0 } else { Options::default().statements_max },
        ..Options::default()
    };
    let bench = Bench { environment, connector: turns.connector(), target, options };
    if matches!(name, "lone" | "pipelined" | "one-sync" | "rows") && !words.is_empty() {
        let number = |word: &String| word.parse().expect("a number");
        let (count, width) = (number(&words[0]), words.get(1).map_or(1, number));
        let name = name.to_owned();
        return turns.run(async move {
            load::run(bench.client().await, &bench.environment.spawner, &name, count, width).await;
        });
    }
    let certificate = words.first().map(|path| std::fs::read(path).expect("a certificate"));
    let name = name.to_owned();
    turns.run(async move {
        match name.as_str() {
            "types" => bench.types().await,
            "pipeline" => bench.pipeline().await,
            "rows" => bench.rows().await,
            "cancel" => bench.cancel().await,
            "copy" => bench.copy().await,
            "notify" => bench.notify().await,
            "transactions" => bench.transactions().await,
            "start" => bench.start().await,
            "passwords" => bench.passwords().await,
            "tls" => bench.tls(&certificate.expect("a certificate")).await,
            "pooler" => bench.pooler().await,
            "restart" | "pooler-restart" => bench.restart().await,
            other => panic!("no check {other}"),
        }
    });
    println!("done");
}

/// What the checks run on.
struct Bench {
    environment: Environment,
    connector: KernelConnector,
    target: Target,
    options: Options,
}

impl Bench {
    fn server(&self) -> Server {
        Server::plain(self.connector.clone(), self.target.clone())
    }

    async fn connect_as(&self, settings: &Settings) -> Result<Client, ClientError> {
        connect(&[self.server()], settings, &self.options, &self.environment).await
    }

    async fn client(&self) -> Client {
        self.connect_as(&settings()).await.expect("a server")
    }

    fn pool(&self, connections_max: usize) -> Pool {
        let config = PoolConfig {
            connections_max,
            wait_timeout: Duration::from_secs(60),
            ..PoolConfig::default()
        };
        let servers = vec![self.server()];
        Pool::new(servers, settings(), self.options.clone(), config, self.environment.clone())
    }

    /// Values of all types are what the server's own text says, read and written.
    async fn types(&self) {
        let client = self.client().await;
        client.batch("set timezone = 'UTC'; set extra_float_digits = 1").await.expect("settings");
        same::<bool>(&client, "bool", &["true", "false"], bool::to_string).await;
        same::<i16>(&client, "int2", &["0", "-32768", "32767"], |v| v.to_string()).await;
        same::<i32>(&client, "int4", &["-2147483648", "2147483647"], |v| v.to_string()).await;
        same::<i64>(&client, "int8", &["-9223372036854775808", "9"], |v| v.to_string()).await;
        same::<u32>(&client, "oid", &["0", "4294967295"], |v| v.to_string()).await;
        same::<f32>(&client, "float4", &["1.5", "-0.25", "NaN"], |v| v.to_string()).await;
        same::<f64>(&client, "float8", &["0.1", "-3.25", "NaN"], |v| v.to_string()).await;
        let numerics = [
            "0",
            "0.00",
            "-1",
            "10000",
            "123456789012345678901234567890.0001000",
            "0.00000001",
            "1e10",
            "1e-20",
            "NaN",
            "Infinity",
            "-Infinity",
            "99990000",
            "-0.5",
        ];
        same::<Numeric>(&client, "numeric", &numerics, |v| v.to_string()).await;
        for name in ["text", "varchar", "name", "char(3)"] {
            same::<String>(&client, name, &["abc", "é\u{1F600}\n"], Clone::clone).await;
        }
        same::<Vec<u8>>(&client, "bytea", &["\\x00ff10", "\\x"], |v| {
            v.iter().fold("\\x".into(), |text, byte| format!("{text}{byte:02x}"))
        })
        .await;
        dates(&client).await;
        structures(&client).await;
        let row = client.query_one("select null::int4, 1::int8", &[]).await.expect("a row");
        assert_eq!(row.get::<Option<i32>>(0), Ok(None));
        assert!(
            row.get::<i32>(0).is_err() && row.get::<i32>(1).is_err() && row.get::<i64>(2).is_err()
        );
        assert_eq!(row.get_named::<i64>("int8"), Ok(1));
    }

    /// What SASLprep makes the same is the same password, whichever of both the role was given, and what it refuses is taken as it is.
    async fn passwords(&self) {
        let admin = self.client().await;
        let pairs = [
            ("I\u{AD}X", "IX"),
            ("\u{2168}", "IX"),
            ("\u{AA}", "a"),
            ("e\u{301}\u{A0}\u{FE0F}!", "\u{E9} !"),
            ("\u{FE8D}1\u{628}", "\u{627}1\u{628}"),
        ];
        for (given, prepared) in pairs {
            for (set, other) in [(given, prepared), (prepared, given)] {
                self.set_password(&admin, set).await;
                assert_eq!(self.login(set).await, None, "{set:?}");
                assert_eq!(self.login(other).await, None, "{set:?} as {other:?}");
                assert_eq!(self.login("IY").await, Some(SqlState::InvalidPassword));
            }
        }
        for (refused, normal) in [
            ("\u{2168}\u{1}", "IX\u{1}"),
            ("\u{AA}\u{1F600}", "a\u{1F600}"),
            ("\u{FE8D}1", "\u{627}1"),
            ("a\u{340}", "\u{E0}"),
        ] {
            self.set_password(&admin, refused).await;
            assert_eq!(self.login(refused).await, None, "{refused:?}");
            assert_eq!(self.login(normal).await, Some(SqlState::InvalidPassword), "{refused:?}");
        }
        admin.batch("drop role visitor").await.expect("a role");
    }

    async fn set_password(&self, admin: &Client, password: &str) {
        let sql =
            format!("drop role if exists visitor; create role visitor login password '{password}'");
        admin.batch(&sql).await.expect("a role");
    }

    /// Why the server refuses the password, if it does.
    async fn login(&self, password: &str) -> Option<SqlState> {
        let settings = Settings::new("visitor").database("postgres").password(password);
        let error = self.connect_as(&settings).await.err()?;
        Some(error.state().unwrap_or_else(|| panic!("{error}")))
    }

    /// Many queries are under way at once, and a bad one among them takes no other with it.
    async fn pipeline(&self) {
        let client = self.client().await;
        client.prepare("select $1::int4").await.expect("a statement");
        let asked: Vec<_> = (0..1000_i32)
            .map(|number| {
                let client = &client;
                Box::pin(async move {
                    let sql = if number % 100 == 7 {
                        "select 1/($1::int4 - $1)"
                    } else {
                        "select $1::int4"
                    };
                    client
                        .query_one(sql, &[&number])
                        .await
                        .map(|row| row.get::<i32>(0).expect("a number"))
                })
            })
            .collect();
        for (number, outcome) in (0..).zip(all(asked).await) {
            if number % 100 == 7 {
                let error = outcome.expect_err("a division by zero");
                assert_eq!(error.state(), Some(SqlState::DivisionByZero));
            } else {
                assert_eq!(outcome, Ok(number));
            }
        }
        // Parameters and statements that do not fit, and the position of an error.
        let error = client.query("select $1::int4", &[&"x"]).await.expect_err("no number");
        assert!(matches!(error, ClientError::Request(_)), "{error}");
        let error = client.query("selec 1", &[]).await.expect_err("no statement");
        let ClientError::Server(error) = error else { panic!("{error}") };
        assert_eq!((error.state, error.position), (SqlState::SyntaxError, Some(1)));
        // A table that changes under a statement.
        client
            .batch("create temp table t (a int4); insert into t values (1)")
            .await
            .expect("a table");
        client.query("select * from t", &[]).await.expect("rows");
        client.batch("alter table t add b text").await.expect("a column");
        assert!(client.query("select * from t", &[]).await.is_err());
        let rows = client.query("select * from t", &[]).await.expect("rows");
        assert_eq!(rows[0].columns().len(), 2);
        many::check(&client).await;
        // More statements than are kept.
        for number in 0..250 {
            client.query_one(&format!("select {number}"), &[]).await.expect("a row");
        }
        let row = client.query_one("select count(*) from pg_prepared_statements", &[]).await;
        let count: i64 = row.expect("a row").get(0).expect("a count");
        assert!(count <= 102, "{count} statements");
    }

    /// A million rows pass through little memory, and wait where they are while nobody takes them.
    async fn rows(&self) {
        let client = self.client().await;
        let before = peak_kib();
        let sql = "select g, repeat('x', 90) from generate_series(1, 1000000) g";
        let mut rows = client.query_stream(sql, &[]).await.expect("rows");
        let mut sum = 0_i64;
        while let Some(row) = rows.next().await.expect("a row") {
            sum += i64::from(row.get::<i32>(0).expect("a number"));
        }
        assert_eq!((sum, rows.completed()), (500_000_500_000, Some(1_000_000)));
        let grown = peak_kib() - before;
        assert!(grown < 4096, "{grown} KiB more");
        println!("a million rows: {grown} KiB more");
        let error = client.query(sql, &[]).await.expect_err("too much to collect");
        assert_eq!(error, ClientError::TooLong);
        client.query_one("select 1", &[]).await.expect("the connection goes on");
    }

    /// What is given up is cancelled on the server, and the connection goes on.
    async fn cancel(&self) {
        let (client, other) = (self.client().await, self.client().await);
        let running = "select count(*) from pg_stat_activity where query = 'select pg_sleep(600)' and state = 'active'";
        for _ in 0..3 {
            let mut sleeping = Box::pin(client.query("select pg_sleep(600)", &[]));
            loop {
                let is_over =
                    poll_fn(|cx| Poll::Ready(sleeping.as_mut().poll(cx).is_ready())).await;
                assert!(!is_over, "it sleeps");
                let row = other.query_one(running, &[]).await.expect("a row");
                if row.get::<i64>(0) == Ok(1) {
                    break;
                }
                self.environment.timers.sleep(Duration::from_millis(10)).await;
            }
            drop(sleeping);
            let row = client.query_one("select 7", &[]).await.expect("the connection goes on");
            assert_eq!(row.get::<i32>(0), Ok(7));
            let row = other.query_one(running, &[]).await.expect("a row");
            assert_eq!(row.get::<i64>(0), Ok(0));
        }
        // Of a stream, too.
        // In the list of columns: as a table it would be made whole before its first row.
        let sql = "select generate_series(1, 100000000)";
        let mut stream = client.query_stream(sql, &[]).await.expect("rows");
        stream.next().await.expect("a row");
        drop(stream);
        client.query_one("select 1", &[]).await.expect("the connection goes on");
    }

    /// COPY in both directions, given up in the middle, and where none is.
    async fn copy(&self) {
        let client = self.client().await;
        client.batch("create temp table c (a int4, b text)").await.expect("a table");
        let mut copy = client.copy_in("copy c from stdin").await.expect("a copy");
        for number in 0..100_000 {
            copy.send(format!("{number}\trow {number}\n").as_bytes()).await.expect("data");
        }
        assert_eq!(copy.finish().await, Ok(100_000));
        let mut copy = client.copy_in("copy c from stdin").await.expect("a copy");
        copy.send(b"1\tlost\n").await.expect("data");
        drop(copy);
        let mut copy = client.copy_in("copy c from stdin").await.expect("a copy");
        copy.send(b"no number\tx\n").await.expect("data");
        let error = copy.finish().await.expect_err("no number");
        assert_eq!(error.state(), Some(SqlState::InvalidTextRepresentation));
        let mut out =
            client.copy_out("copy (select * from c order by a) to stdout").await.expect("a copy");
        let mut text = Vec::new();
        while let Some(data) = out.next().await.expect("data") {
            text.extend_from_slice(&data);
        }
        assert!(text.starts_with(b"0\trow 0\n1\trow 1\n") && text.ends_with(b"99999\trow 99999\n"));
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 100_000);
        assert!(matches!(client.copy_in("select 1").await, Err(ClientError::NoCopy)));
        assert!(matches!(client.copy_out("copy c from stdin").await, Err(ClientError::NoCopy)));
        assert!(client.batch("copy c from stdin").await.is_err());
        assert!(client.execute("copy c from stdin", &[]).await.is_err());
        drop(
            client
                .copy_out("copy (select generate_series(1, 100000000)) to stdout")
                .await
                .expect("a copy"),
        );
        client.query_one("select 1", &[]).await.expect("the connection goes on");
    }

    /// What one connection notifies, another hears, though it does nothing else.
    async fn notify(&self) {
        let (listening, client) = (self.client().await, self.client().await);
        let mut notifications = listening.listen("odd \"name").await.expect("a channel");
        drop(listening);
        for number in 0..3 {
            let text = format!("text {number}");
            client
                .query("select pg_notify('odd \"name', $1)", &[&text])
                .await
                .expect("a notification");
            client.batch("notify another").await.expect("a notification");
            let heard = notifications.next().await.expect("a notification");
            assert_eq!((heard.channel.as_str(), heard.payload), ("odd \"name", text));
        }
    }

    /// What is not committed is not there.
    async fn transactions(&self) {
        let (mut client, other) = (self.client().await, self.client().await);
        client
            .batch("create table x (a int4 unique deferrable initially deferred)")
            .await
            .expect("a table");
        let count = async || {
            let row = other.query_one("select count(*) from x", &[]).await.expect("a row");
            row.get::<i64>(0).expect("a count")
        };
        let transaction = client.transaction().await.expect("a transaction");
        transaction.execute("insert into x values ($1)", &[&1]).await.expect("a row");
        assert_eq!(count().await, 0);
        drop(transaction);
        client.query_one("select 1", &[]).await.expect("the connection goes on");
        let transaction = client.transaction().await.expect("a transaction");
        assert_eq!(transaction.execute("insert into x values (1), (2)", &[]).await, Ok(2));
        transaction.commit().await.expect("committed");
        assert_eq!(count().await, 2);
        let transaction = client.transaction().await.expect("a transaction");
        assert!(transaction.batch("no statement").await.is_err());
        assert_eq!(transaction.commit().await, Err(ClientError::RolledBack));
        // A constraint that is looked at by COMMIT alone.
        let transaction = client.transaction().await.expect("a transaction");
        transaction.execute("insert into x values (1)", &[]).await.expect("a row");
        let error = transaction.commit().await.expect_err("a value that is there");
        assert_eq!(error.state(), Some(SqlState::UniqueViolation));
        // A query of a transaction that is given up with it.
        let transaction = client.transaction().await.expect("a transaction");
        let mut sleeping = Box::pin(transaction.query("select pg_sleep(600)", &[]));
        poll_fn(|cx| Poll::Ready(sleeping.as_mut().poll(cx).is_ready())).await;
        self.environment.timers.sleep(Duration::from_millis(50)).await;
        poll_fn(|cx| Poll::Ready(sleeping.as_mut().poll(cx).is_ready())).await;
        drop(sleeping);
        drop(transaction);
        let row = client.query_one("select count(*) from x", &[]).await.expect("a row");
        assert_eq!(row.get::<i64>(0), Ok(2));
        other.batch("drop table x").await.expect("it is nobody's");
    }

    /// Passwords, methods and servers of the wrong kind.
    async fn start(&self) {
        let error =
            self.connect_as(&Settings::new(USER).database("postgres").password("wrong")).await;
        assert_eq!(error.expect_err("refused").state(), Some(SqlState::InvalidPassword));
        let error =
            self.connect_as(&Settings::new(USER).database("postgres")).await.expect_err("refused");
        assert!(error.to_string().contains("password"), "{error}");
        let error = self.connect_as(&settings().database("nowhere")).await.expect_err("refused");
        assert_eq!(error.state(), Some(SqlState::InvalidCatalogName));
        let old = settings().protocol_3_0();
        self.connect_as(&old).await.expect("3.0").query_one("select 1", &[]).await.expect("a row");
        let options = Options { target: TargetSession::Standby, ..Options::default() };
        let none = connect(&[self.server()], &settings(), &options, &self.environment).await;
        assert_eq!(none.expect_err("it is a primary"), ClientError::NoServer);
        // The first of two does not answer.
        let nobody =
            Server::plain(self.connector.clone(), "127.0.0.1:1".parse().expect("a target"));
        let options = Options { target: TargetSession::ReadWrite, ..Options::default() };
        connect(&[nobody, self.server()], &settings(), &options, &self.environment)
            .await
            .expect("the second");
    }

    /// TLS as each `sslmode` has it, with SCRAM bound to it.
    async fn tls(&self, certificate: &[u8]) {
        let authority = || Trust::nobody().and_authorities(certificate).expect("a certificate");
        let Target::Address(address) = &self.target else { panic!("an address") };
        let address = address.ip().to_string();
        for (what, trust, name, is_good) in [
            ("verify-full", authority(), &*address, true),
            ("verify-full of another name", authority(), "db.example", false),
            ("verify-ca", authority().without_names(), "db.example", true),
            ("verify-ca of another authority", Trust::fingerprints([[7; 32]]), &address, false),
            ("require", Trust::any_server(), "db.example", true),
        ] {
            let server = Server::tls(
                self.connector.clone(),
                self.server_tls(trust),
                name,
                self.target.clone(),
            );
            let opened =
                connect(&[server], &settings(), &Options::default(), &self.environment).await;
            assert_eq!(opened.is_ok(), is_good, "{what}");
            if let Ok(client) = opened {
                assert_eq!(tls_of(&client).await, Some("TLSv1.3".to_owned()), "{what}");
            }
        }
        // A server that has TLS is asked for it, and if it comes to none there is none.
        for (trust, version) in
            [(Trust::any_server(), Some("TLSv1.3".to_owned())), (Trust::nobody(), None)]
        {
            let server = Server::tls_or_plain(
                self.connector.clone(),
                self.server_tls(trust),
                "db.example",
                self.target.clone(),
            );
            let client =
                connect(&[server], &settings(), &Options::default(), &self.environment).await;
            assert_eq!(tls_of(&client.expect("a server")).await, version, "prefer");
        }
    }

    fn server_tls(&self, trust: Trust) -> ServerTls {
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
        let context =
            ClientContext::new(ClientOptions::new(trust, Clock::new(now))).expect("a context");
        let timers = self.environment.timers.clone();
        ServerTls { context, config: TlsConfig::default(), timers }
    }

    /// A pool outlives its server. The tests kill and start it between what this says.
    async fn restart(&self) {
        let pool = self.pool(4);
        let pooled = pool.get().await.expect("a connection");
        println!("connected");
        let error =
            pooled.query("select pg_sleep(600)", &[]).await.expect_err("the server is killed");
        assert!(error.is_end(), "{error}");
        println!("lost");
        drop(pooled);
        let pooled = pool.get().await.expect("the server is back");
        pooled.query_one("select 1", &[]).await.expect("a row");
        drop(pooled);
        // Those who wait get a connection in turn, and never more than four are made.
        let asked: Vec<_> = (0..100_i32)
            .map(|number| {
                let pool = &pool;
                Box::pin(async move {
                    let pooled = pool.get().await.expect("a connection");
                    pooled
                        .query_one("select pg_sleep(0.001), $1::int4", &[&number])
                        .await
                        .expect("a row")
                        .get::<i32>(1)
                })
            })
            .collect();
        let numbers = all(asked).await.into_iter().map(|number| number.expect("a number"));
        assert!(numbers.eq(0..100) && pool.idle_count() <= 4);
        // A transaction that somebody began by hand and left is nobody else's.
        let pooled = pool.get().await.expect("a connection");
        pooled.batch("begin").await.expect("a transaction");
        drop(pooled);
        let count = pool.idle_count();
        assert!(count < 4, "{count} are idle");
    }
}

/// The version of TLS below, if there is one, as the server says.
async fn tls_of(client: &Client) -> Option<String> {
    let sql = "select version from pg_stat_ssl where pid = pg_backend_pid()";
    client.query_one(sql, &[]).await.expect("a row").get(0).expect("a version")
}

fn settings() -> Settings {
    Settings::new(USER)
        .database("postgres")
        .password(PASSWORD)
        .parameter("application_name", "flow-peer")
}

async fn dates(client: &Client) {
    let days =
        ["2000-02-29", "1999-12-31", "0001-01-01", "4713-01-01 BC", "5874897-12-31", "infinity"];
    same::<Date>(client, "date", &days, |v| v.to_string()).await;
    let times = [
        "2024-02-29 12:34:56.7",
        "1970-01-01 00:00:00",
        "0044-03-15 00:00:00.000001 BC",
        "-infinity",
        "294276-12-31 23:59:59.999999",
    ];
    same::<Timestamp>(client, "timestamp", &times, |v| v.to_string()).await;
    same::<Timestamp>(client, "timestamptz", &times[..2], |v| format!("{v}+00")).await;
    same::<Time>(client, "time", &["00:00:00", "24:00:00", "13:00:00.25"], |v| v.to_string()).await;
}

async fn structures(client: &Client) {
    let uuid = "01234567-89ab-cdef-0123-456789abcdef";
    same::<Uuid>(client, "uuid", &[uuid], |v| v.to_string()).await;
    let json = |v: &Json<serde_json::Value>| v.0.to_string();
    same::<Json<serde_json::Value>>(client, "json", &["{\"a\":[1,null]}", "7"], json).await;
    same::<Json<serde_json::Value>>(client, "jsonb", &["[1,2]"], |v| {
        v.0.to_string().replace(',', ", ")
    })
    .await;
    let list = |v: &Vec<Option<i32>>| {
        let parts = v.iter().map(|v| v.map_or("NULL".to_owned(), |v| v.to_string()));
        format!("{{{}}}", parts.collect::<Vec<_>>().join(","))
    };
    same::<Vec<Option<i32>>>(client, "int4[]", &["{}", "{1,NULL,-3}"], list).await;
    same::<Vec<String>>(client, "text[]", &["{a,b}"], |v| format!("{{{}}}", v.join(","))).await;
    client.batch("create type mood as enum ('glad', 'sad')").await.expect("a type");
    same::<String>(client, "mood", &["glad"], Clone::clone).await;
}

/// Values of a type are the server's text when they are read, and the server's again when they are written.
async fn same<T>(client: &Client, name: &str, texts: &[&str], text_of: impl Fn(&T) -> String)
where
    T: ToSql + Debug + for<'a> FromSql<'a>,
{
    for text in texts {
        let literal = text.replace('\'', "''");
        let read = client
            .query_one(&format!("select v, v::text from (select '{literal}'::{name} v) x"), &[])
            .await;
        let row = read.unwrap_or_else(|error| panic!("{name} {text}: {error}"));
        let value: T = row.get(0).unwrap_or_else(|error| panic!("{name} {text}: {error}"));
        let expected: &str = row.get(1).expect("text");
        assert_eq!(text_of(&value), expected, "{name}");
        let written =
            client.query_one(&format!("select $1::{name}::text, $1::{name}"), &[&value]).await;
        let row = written.unwrap_or_else(|error| panic!("{name} {text}: {error}"));
        assert_eq!(row.get::<&str>(0), Ok(expected), "{name}");
    }
}

/// What comes of all futures, each of which is polled whenever one is woken.
async fn all<T>(mut futures: Vec<Pin<Box<impl Future<Output = T>>>>) -> Vec<T> {
    let mut values: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (future, value) in futures.iter_mut().zip(&mut values) {
            if value.is_none()
                && let Poll::Ready(ready) = future.as_mut().poll(cx)
            {
                *value = Some(ready);
            }
        }
        if values.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    values.into_iter().flatten().collect()
}

/// Most memory that this process has ever held.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}
