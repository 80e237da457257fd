//! The three services by name, with what differs between them: binary and default ports.

/// One of the three processes a stack runs, in the order they are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Vault,
    Identity,
    Journal,
}

impl Service {
    /// The vault first: identity seals its signing key there. Then identity, whose keys journal reads.
    pub const ALL: [Self; 3] = [Self::Vault, Self::Identity, Self::Journal];

    /// Also the name of its Postgres role, its database and its certificates.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::Identity => "identity",
            Self::Journal => "journal",
        }
    }

    pub fn binary(self) -> &'static str {
        match self {
            Self::Vault => "vault-service",
            Self::Identity => "identity-service",
            Self::Journal => "journal-service",
        }
    }

    /// The name as it begins variables: `IDENTITY_URL`, `IDENTITY_PID`.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Vault => "VAULT",
            Self::Identity => "IDENTITY",
            Self::Journal => "JOURNAL",
        }
    }

    /// The API listens on the port base plus this; the ops port is 1000 above.
    pub fn port_offset(self) -> u16 {
        match self {
            Self::Identity => 1,
            Self::Vault => 2,
            Self::Journal => 3,
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }
}

/// One value for each service.
#[derive(Clone, Copy, Debug, Default)]
pub struct PerService<T> {
    pub vault: T,
    pub identity: T,
    pub journal: T,
}

impl<T> PerService<T> {
    /// Asks `make` once for each service.
    pub fn each<E>(mut make: impl FnMut(Service) -> Result<T, E>) -> Result<Self, E> {
        Ok(Self {
            vault: make(Service::Vault)?,
            identity: make(Service::Identity)?,
            journal: make(Service::Journal)?,
        })
    }

    pub fn of(&self, service: Service) -> &T {
        match service {
            Service::Vault => &self.vault,
            Service::Identity => &self.identity,
            Service::Journal => &self.journal,
        }
    }

    pub fn of_mut(&mut self, service: Service) -> &mut T {
        match service {
            Service::Vault => &mut self.vault,
            Service::Identity => &mut self.identity,
            Service::Journal => &mut self.journal,
        }
    }
}
