//! How many long transfers run at once: each holds memory, and an import a connection, for as long as its client takes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use shared::user_id::UserId;

/// Places for so many, and for so many of one person.
pub(crate) struct Slots {
    most: usize,
    each: usize,
    taken: Mutex<HashMap<UserId, usize>>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Busy {
    /// This person has as many as one may have.
    Person,
    /// All are taken.
    Everybody,
}

impl Slots {
    pub(crate) fn new(most: usize, each: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            each,
            taken: Mutex::default(),
        })
    }

    /// A place until it is dropped.
    pub(crate) fn take(self: &Arc<Self>, user: UserId) -> Result<Slot, Busy> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.get(&user).is_some_and(|own| *own >= self.each) {
            return Err(Busy::Person);
        }
        if taken.values().sum::<usize>() >= self.most {
            return Err(Busy::Everybody);
        }
        *taken.entry(user).or_default() += 1;
        Ok(Slot {
            slots: Arc::clone(self),
            user,
        })
    }
}

/// One place.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    user: UserId,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let taken = self.slots.taken.lock();
        let mut taken = taken.unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.user) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                taken.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn nobody_has_more_than_their_share_and_all_together_no_more_than_there_are() {
        let [ada, bob, eve] = [1, 2, 3].map(|number| UserId::new(Uuid::from_u128(number)));
        let slots = Slots::new(3, 2);
        let first = slots.take(ada).expect("there is a place");
        let second = slots.take(ada).expect("there is a place");
        assert_eq!(slots.take(ada).err(), Some(Busy::Person));
        let third = slots.take(bob).expect("there is a place");
        assert_eq!(slots.take(eve).err(), Some(Busy::Everybody));
        drop(first);
        assert!(slots.take(eve).is_ok());
        assert!(slots.take(ada).is_ok());
        drop((second, third));
        assert!(slots.taken.lock().expect("nobody panicked").is_empty());
    }
}
