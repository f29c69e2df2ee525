//! One scripted life of two orders, with a fault at a chosen step: every step, every fault.

use stockbridge::domain::ids::OrderId;
use stockbridge::sandbox::catalogue::{WAREHOUSE, products};
use stockbridge::sandbox::dragonfish::model::DragonfishModel;
use stockbridge::sandbox::vtex::model::VtexModel;
use stockbridge::stages::runner::Stage;

use super::history::{History, Outcome, settings, warehouse};
use super::judge;
use super::mutants::Mutant;
use super::world::{Fault, Rates, Script, Step, World};

/// Nothing goes wrong by chance.
const CALM: Rates = Rates {
    death: 0,
    book: 0,
    read: 0,
    write: 0,
    mail: 0,
    partial: 0,
    too_late: 0,
    overlap: false,
    lock_broken: false,
    jumps: false,
    reboots: false,
    restores: false,
    impatient: false,
    hands: false,
    hasty: false,
    stops: 1,
    search_first: true,
};

/// How the life goes on before a run of the stages.
type Turn = fn(&mut World);

/// Sold, booked, changed, canceled; another one sold meanwhile.
const TURNS: [Turn; 8] = [
    |_| {},
    |world| sell(world, &[2, 1]),
    |_| {},
    |world| {
        let id = first(world);
        let sku = world.vtex.orders[&id].lines[0].sku.clone();
        let now = world.now();
        world.act_unseen(&id);
        world.vtex.change(&id, &sku, 1, now);
        // Changes are seen when the order is read again.
        world.advance(1_300_000);
    },
    |world| sell(world, &[1]),
    |world| {
        let (id, now) = (first(world), world.now());
        world.vtex.cancel(&id, now);
    },
    |_| {},
    |_| {},
];

fn first(world: &World) -> OrderId {
    world.vtex.orders.keys().next().unwrap().clone()
}

fn sell(world: &mut World, units: &[u32]) {
    let now = world.now();
    let lines: Vec<_> = units
        .iter()
        .zip(&world.vtex.products)
        .map(|(units, product)| (product.sku.clone(), warehouse(), *units))
        .collect();
    let id = world.vtex.sell(&lines, now);
    world.undurable.insert(id);
}

/// Lives the life with some faults, and returns its steps; `twice`: each run of the stages is repeated at once.
pub fn live(
    mutant: Mutant,
    faults: &[(usize, Fault)],
    twice: bool,
    trace: bool,
) -> (Outcome, Vec<Step>) {
    let goods = products(2);
    let mut vtex = VtexModel::new(&goods, &[WAREHOUSE]);
    vtex.habits.strict_dates = true;
    let mut world = World::new(1, vtex, DragonfishModel::new(&goods), CALM, trace);
    world.faults_on = false;
    world.script = Some(Script {
        faults: faults.to_vec(),
        steps: vec![],
    });
    let rng = fastrand::Rng::with_seed(1);
    let mut history = History::begin(world, settings(), mutant, rng);
    for turn in TURNS {
        history.with(|world| {
            world.advance(90_000);
            turn(world);
            judge::remember_truths(world, &warehouse());
        });
        for _ in 0..=u8::from(twice) {
            history.run_alone(&Stage::ALL);
        }
        if history.over() {
            break;
        }
    }
    let steps = history.with(|world| world.script.take().map(|script| script.steps));
    history.calm();
    (history.finish(CALM), steps.unwrap_or_default())
}

/// All single faults of a life.
pub fn singles(steps: &[Step]) -> Vec<(usize, Fault)> {
    let all = steps.iter().enumerate();
    all.flat_map(|(at, step)| step.faults().into_iter().map(move |fault| (at, fault)))
        .collect()
}
