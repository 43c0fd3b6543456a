//! What `kiln-spawner` is told when it is started. Its descriptor 0 is the socket to the server.
use crate::base::id::InstanceId;

/// The arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which installation it serves.
    pub instance: InstanceId,
    /// How many sandboxes stand before anybody asks for them.
    pub ready: usize,
}

/// The arguments are not what this program takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "usage: kiln-spawner --instance ID --ready NUMBER, with the server's socket as descriptor 0 (started by `kiln serve`): {0}"
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
            [name, id, second, number] if name == "--instance" && second == "--ready" => {
                let instance = id.parse().map_err(|fault| Usage(format!("--instance {id}: {fault}")))?;
                let ready = number.parse().map_err(|fault| Usage(format!("--ready {number}: {fault}")))?;
                Ok(Self { instance, ready })
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
    fn both_are_there_and_nothing_else() {
        let whole = ["--instance", "00000000000000ff", "--ready", "4"];
        assert_eq!(parse(&whole), Ok(Options { instance: InstanceId(255), ready: 4 }));
        assert!((0..whole.len()).all(|count| parse(&whole[..count]).is_err()));
        assert!(parse(&["--instance", "x", "--ready", "4"]).is_err());
        assert!(parse(&["--instance", "00000000000000ff", "--ready", "-1"]).is_err());
        assert!(parse(&[&whole[..], &["more"]].concat()).is_err());
    }
}
