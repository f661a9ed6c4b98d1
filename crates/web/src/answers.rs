//! Answers: what is counted of requests and what they are answered, of a server or of a route.

use crate::Status;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::Cell;
use core::time::Duration;
use inspect::{Column, Histogram, Metric, Table};

/// Counts answers by the class of their status, the time that they took, and those that are being made.
#[derive(Debug, Default)]
pub struct Answers {
    in_flight: Cell<usize>,
    /// By the first digit of their status.
    by_class: [Cell<u64>; 6],
    times: Histogram,
}

/// The classes of status (RFC 9110 section 15), in the order of [`Answers::by_class`].
pub const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Answers {
    /// A request of this status is answered, `time` after its handler was asked.
    pub fn answered(&self, status: Status, time: Duration) {
        self.count(status);
        self.times.observe(time);
    }

    /// A request of this status is answered as soon as its handler was asked, as far as the clock shows it.
    #[inline]
    pub fn answered_at_once(&self, status: Status) {
        self.count(status);
        self.times.observe_none();
    }

    #[inline]
    fn count(&self, status: Status) {
        if let Some(count) = self.by_class.get(usize::from(status.code() / 100)) {
            count.set(count.get() + 1);
        }
    }

    /// A request's handler did not answer at once; [`end_work`](Self::end_work) follows when it is done.
    pub fn begin_work(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    /// A handler's work is done, or dropped.
    pub fn end_work(&self) {
        self.in_flight.set(self.in_flight.get() - 1);
    }

    /// Requests whose handlers are not done.
    pub fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// Answers, by the [class](CLASSES) of status.
    pub fn by_class(&self) -> [u64; 5] {
        core::array::from_fn(|class| self.by_class[class + 1].get())
    }

    /// The times that they took.
    pub fn times(&self) -> &Histogram {
        &self.times
    }
}

/// What is counted of a route.
#[derive(Debug)]
pub struct RouteAnswers {
    /// Its methods and its pattern, as `GET /users/:id`; `*` is every method. A fallback ends with `/*`, and `none` is for
    /// requests that no route takes.
    pub route: String,
    /// What was answered there.
    pub answers: Rc<Answers>,
}

/// The metrics of routes.
pub static ROUTE_METRICS: &[Metric<Answers>] = &[
    Metric::counter_by(
        "web_route_responses",
        "code",
        "Responses of a route, by the class of status.",
        |it, visit| {
            for (class, count) in CLASSES.iter().zip(it.by_class()) {
                visit(class, count);
            }
        },
    ),
    Metric::gauge(
        "web_route_in_flight",
        "Requests of a route whose handlers are not done.",
        |it| it.in_flight() as u64,
    ),
    Metric::histogram(
        "web_route_response",
        "From a request to the response of its route's handler.",
        Answers::times,
    ),
];

/// Routes as a table.
pub static ROUTES: Table<RouteAnswers> = Table {
    name: "routes",
    help: "Routes of web requests, whichever protocol carries them; those of the admin port are not among them.",
    columns: &[
        Column::text("route", "Methods and pattern; none is for what no route takes.", |row| {
            row.route.as_str().into()
        }),
        Column::number("responses", "Answers since the start.", |row| {
            row.answers.by_class().iter().sum::<u64>().into()
        }),
        Column::number("in_flight", "Requests whose handlers are not done.", |row| {
            row.answers.in_flight().into()
        }),
        Column::number("responses_1xx", "Of them such as switch protocols.", |row| {
            row.answers.by_class()[0].into()
        }),
        Column::number("responses_2xx", "Of them successful ones.", |row| {
            row.answers.by_class()[1].into()
        }),
        Column::number(
            "responses_3xx",
            "Of them redirections, and pages that did not change.",
            |row| row.answers.by_class()[2].into(),
        ),
        Column::number("responses_4xx", "Of them refusals.", |row| {
            row.answers.by_class()[3].into()
        }),
        Column::number("responses_5xx", "Of them failures.", |row| {
            row.answers.by_class()[4].into()
        }),
        Column::maybe_number(
            "mean_us",
            "What they took on average. None before the first, and where another answered for the handler.",
            |row| mean_us(row.answers.times()).into(),
        ),
        Column::maybe_number(
            "p99_us",
            "What 99 of 100 took at most: a bound of the histogram. None if that is more than 10 s, and before the first.",
            |row| row.answers.times().quantile(99, 100).map(micros).into(),
        ),
    ],
};

fn mean_us(times: &Histogram) -> Option<u64> {
    micros(times.sum()).checked_div(times.count())
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_the_first_digit_of_their_status() {
        let answers = Answers::default();
        for status in [Status::SWITCHING_PROTOCOLS, Status::OK, Status::NO_CONTENT] {
            answers.answered_at_once(status);
        }
        answers.answered(Status::NOT_MODIFIED, Duration::from_millis(3));
        answers.answered(Status::NOT_FOUND, Duration::from_millis(5));
        answers.answered_at_once(Status::INTERNAL_SERVER_ERROR);
        assert_eq!(answers.by_class(), [1, 2, 1, 1, 1]);
        assert_eq!((answers.times().count(), answers.times().sum()), (6, Duration::from_millis(8)));
    }

    #[test]
    fn work_is_in_flight_until_it_ends() {
        let answers = Answers::default();
        answers.begin_work();
        answers.begin_work();
        answers.end_work();
        assert_eq!(answers.in_flight(), 1);
    }
}
