//! What `kiln-spawner` is told when it is started: where its server is.
use crate::base::id::InstanceId;

/// The arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Options {
    /// Descriptor 0 is the socket to the server of this installation.
    OnStandardInput(InstanceId),
    /// The service manager hands over a socket on which the server connects.
    AsService,
}

/// The arguments are not what this program takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "usage: kiln-spawner --instance ID, with the server's socket as descriptor 0 (started by `kiln serve`), or \
     kiln-spawner --service (started by kiln-spawner.socket): {0}"
)]
pub struct Usage(String);

impl Options {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    /// Says which argument is wrong.
    pub fn parse<I: IntoIterator<Item = String>>(arguments: I) -> Result<Self, Usage> {
        let words: Vec<String> = arguments.into_iter().collect();
        match words.as_slice() {
            [word] if word == "--service" => Ok(Self::AsService),
            [name, id] if name == "--instance" => {
                let instance = id.parse().map_err(|fault| Usage(format!("--instance {id}: {fault}")))?;
                Ok(Self::OnStandardInput(instance))
            }
            other => Err(Usage(format!("found {other:?}"))),
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, Usage> {
        Options::parse(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn one_of_both_is_there_and_nothing_else() {
        let whole = ["--instance", "00000000000000ff"];
        assert_eq!(parse(&whole), Ok(Options::OnStandardInput(InstanceId(255))));
        assert_eq!(parse(&["--service"]), Ok(Options::AsService));
        assert!((0..whole.len()).all(|count| parse(&whole[..count]).is_err()));
        assert!(parse(&["--instance", "x"]).is_err());
        assert!(parse(&[&whole[..], &["--service"]].concat()).is_err());
    }
}
