//! Why a row of a list was not published.

use matinee_protocol::id::TitleId;

use crate::cli::publish::Error;
use crate::publish::intake;
use crate::{publish, store};

/// Why a row was not published. What stays of it is gone on with when the list is published again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// What the row says cannot be done.
    #[error("{0}")]
    Row(String),
    /// Something failed on the way.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<store::Error> for Fault {
    fn from(error: store::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<publish::Error> for Fault {
    fn from(error: publish::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl Fault {
    pub(super) fn row<T>(text: impl Into<String>) -> Result<T, Self> {
        Err(Self::Row(text.into()))
    }

    /// It was published with other files than it has now.
    pub(super) fn other<T>(title: TitleId) -> Result<T, Self> {
        Self::row(format!(
            "it was published with other files; publish these as a new release: matinee publish --title-id {title} FILE…"
        ))
    }

    /// The track is bought by something else.
    pub(super) fn taken<T>(title: TitleId) -> Result<T, Self> {
        Self::row(format!("the track has title {title} already"))
    }

    /// Somebody else is at it.
    pub(super) fn busy<T>() -> Result<T, Self> {
        Self::row("another command publishes or removes it at this moment")
    }

    /// Whether it says something of the database or the object store, not of the row.
    pub(super) fn is_of_the_stores(&self) -> bool {
        let Self::Failed(error) = self else { return false };
        match error {
            Error::Store(_) | Error::Origin(_) => true,
            Error::Publish(error) => matches!(error, publish::Error::Store(_) | publish::Error::Origin(_)),
            Error::Intake(error) => matches!(error, intake::Error::Store(_) | intake::Error::Origin(_)),
            _ => false,
        }
    }
}
