//! What the cryptography costs by itself: `cargo stack bench` runs this in release and reads what it prints.

use std::{hint::black_box, time::Instant};

use shared::envelope::committed::Unopened;
use uuid::Uuid;

use super::{
    keyring::tests::{COUNTING, ring},
    policy::{Purpose, Service},
    slot::Salt,
    wrapped_key::{Place, PlainKey, Refused, WrappedKey},
};

/// Of each operation in a round; the rounds of all take turns, and the best of each counts: whatever else the machine does
/// makes code slower, never quicker.
const TIMES: u32 = 2_000;
const ROUNDS: u32 = 40;

#[test]
#[ignore = "a measurement, which says something in release only"]
fn the_cost_of_each_operation_is_printed() {
    let (ring, salt, key) = (ring(COUNTING), Salt::generate(), PlainKey::generate());
    let subject = Uuid::from_u128(1);
    let place = Place {
        owner: Service::Identity,
        subject,
        purpose: Purpose::Account,
    };
    let elsewhere = Place {
        purpose: Purpose::Outbox,
        ..place
    };
    let wrapped = ring.wrap(&salt, &place, subject, &key);
    let mut bytes = wrapped.bytes().to_vec();
    *bytes.last_mut().expect("116 bytes") ^= 1;
    let tampered = WrappedKey::parse(&bytes).expect("its header is as it was");
    let (_, slot) = ring.seal_salt(subject, &salt);
    let unopened = |why| Some(Refused::Unopened(why));
    let open = |place, wrapped| ring.unwrap(&salt, place, wrapped).err();
    let operations: [(&str, &dyn Fn()); 5] = [
        ("wrap", &|| {
            black_box(ring.wrap(&salt, &place, subject, black_box(&key)));
        }),
        ("unwrap", &|| assert_eq!(open(&place, &wrapped), None)),
        ("unwrap of a wrong key", &|| {
            assert_eq!(
                open(&elsewhere, &wrapped),
                unopened(Unopened::WrongKeyOrContext)
            );
        }),
        ("unwrap of tampered bytes", &|| {
            assert_eq!(open(&place, &tampered), unopened(Unopened::Tampered));
        }),
        ("salt that is opened", &|| {
            assert!(ring.open_salt(subject, black_box(&slot)).is_ok());
        }),
    ];
    let mut best = [f64::INFINITY; 5];
    for _ in 0..ROUNDS {
        for ((_, operation), best) in operations.iter().zip(&mut best) {
            let began = Instant::now();
            for _ in 0..TIMES {
                operation();
            }
            let nanos = began.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES);
            *best = best.min(nanos);
        }
    }
    for ((name, _), nanos) in operations.iter().zip(best) {
        println!("speed: {name} {nanos:.0} ns");
    }
}
