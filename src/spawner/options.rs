//! What `kiln-spawner` is told when it is started. Its descriptor 0 is the socket to the server.
use crate::base::id::InstanceId;

/// The arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which installation it serves.
    pub instance: InstanceId,
}

/// The arguments are not what this program takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("usage: kiln-spawner --instance ID, with the server's socket as descriptor 0 (started by `kiln serve`): {0}")]
pub struct Usage(String);

impl Options {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    /// Says which argument is wrong.
    pub fn parse<I: IntoIterator<Item = String>>(arguments: I) -> Result<Self, Usage> {
        let words: Vec<String> = arguments.into_iter().collect();
        match words.as_slice() {
            [name, id] if name == "--instance" => {
                let instance = id.parse().map_err(|fault| Usage(format!("--instance {id}: {fault}")))?;
                Ok(Self { instance })
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
    fn the_instance_is_all_there_is() {
        assert_eq!(parse(&["--instance", "00000000000000ff"]), Ok(Options { instance: InstanceId(255) }));
        assert!(parse(&[]).is_err());
        assert!(parse(&["--instance"]).is_err());
        assert!(parse(&["--instance", "x"]).is_err());
        assert!(parse(&["--instance", "00000000000000ff", "more"]).is_err());
    }
}
