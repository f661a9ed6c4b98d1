//! Two to four vats with seeded applications on links with adversarial delivery. A shadow knows
//! what every reference must stand for and in which order calls must arrive.
//!
//! A failure prints the seed and a test that reproduces it. The long run:
//! `SIM_OPS=10000000 cargo test --release -p aqueduct-rpc --test sim -- --ignored --nocapture`.

mod ops;
#[allow(missing_docs, unused, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]
#[rustfmt::skip]
mod sim_capnp;
mod shadow;
mod trace;
mod world;

use ops::{Op, Plan, Random, generate, shrink};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs seeds from `first` until about `ops` operations were done; how many were.
fn run_seeds(first: u64, ops: usize) -> usize {
    let mut done = 0;
    for seed in first.. {
        let mut random = Random(seed);
        let plan = Plan::of(&mut random);
        if std::env::var_os("SIM_TRACE").is_some() {
            println!("seed {seed}: {plan:?}");
        }
        let steps = generate(&plan, &mut random);
        if let Err(reason) = attempt(plan.vats, &steps) {
            report(seed, plan.vats, &steps, &reason);
        }
        done += steps.len();
        if done >= ops {
            break;
        }
    }
    done
}

fn attempt(vats: u16, steps: &[Op]) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| world::run(vats, steps)))
        .unwrap_or_else(|_| Err("a panic".into()))
}

fn report(seed: u64, vats: u16, steps: &[Op], reason: &str) -> ! {
    let short = shrink(steps, |steps| attempt(vats, steps).is_err());
    let short_reason = attempt(vats, &short).unwrap_err();
    let mut test = format!("#[test]\nfn seed_{seed}() {{\n    use Op::*;\n    replay({vats}, &[\n");
    for step in &short {
        test += &format!("        {step:?},\n");
    }
    test += "    ]);\n}";
    panic!("seed {seed}: {reason}; cut down: {short_reason}\n\n{test}\n");
}

#[allow(dead_code)]
fn replay(vats: u16, steps: &[Op]) {
    if let Err(reason) = attempt(vats, steps) {
        report(0, vats, steps, &reason);
    }
}

#[test]
fn seeded_runs_keep_order_and_leave_nothing() {
    run_seeds(1, 600_000);
}

#[test]
#[ignore = "long: SIM_OPS operations, from seed SIM_SEED"]
fn long_run() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    let (total, mut seed) = (number("SIM_OPS", 10_000_000) as usize, number("SIM_SEED", 1 << 32));
    let mut done = 0;
    while done < total {
        done += run_seeds(seed, 1_000_000.min(total - done));
        seed += 1 << 32;
        println!("{done} operations clean");
    }
}
