//! What `kiln-spawner` is told when it is started: where its server is.
use std::path::PathBuf;

use crate::base::id::InstanceId;

/// The arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where the server is.
    pub server: Server,
    /// Folder of the store of images, where there is one.
    pub images: Option<PathBuf>,
}

/// Where the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// Descriptor 0 is the socket to the server of this installation.
    OnStandardInput(InstanceId),
    /// The service manager hands over a socket on which the server connects.
    AsService,
}

/// The arguments are not what this program takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "usage: kiln-spawner --instance ID [--images FOLDER], with the server's socket as descriptor 0 (started by `kiln \
     serve`), or kiln-spawner --service [--images FOLDER] (started by kiln-spawner.socket): {0}"
)]
pub struct Usage(String);

impl Options {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    /// Says which argument is wrong.
    pub fn parse<I: IntoIterator<Item = String>>(arguments: I) -> Result<Self, Usage> {
        let words: Vec<String> = arguments.into_iter().collect();
        let (server, rest) = match words.as_slice() {
            [word, rest @ ..] if word == "--service" => (Server::AsService, rest),
            [name, id, rest @ ..] if name == "--instance" => {
                let instance = id.parse().map_err(|fault| Usage(format!("--instance {id}: {fault}")))?;
                (Server::OnStandardInput(instance), rest)
            }
            other => return Err(Usage(format!("found {other:?}"))),
        };
        let images = match rest {
            [] => None,
            [name, folder] if name == "--images" && folder.starts_with('/') => Some(PathBuf::from(folder)),
            other => return Err(Usage(format!("found {other:?}"))),
        };
        Ok(Self { server, images })
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
        let server = Server::OnStandardInput(InstanceId(255));
        assert_eq!(parse(&whole), Ok(Options { server, images: None }));
        assert_eq!(parse(&["--service"]), Ok(Options { server: Server::AsService, images: None }));
        let images = Some(PathBuf::from("/srv/images"));
        assert_eq!(parse(&["--service", "--images", "/srv/images"]), Ok(Options { server: Server::AsService, images }));
        assert!(parse(&["--service", "--images", "images"]).is_err());
        assert!(parse(&["--service", "--images"]).is_err());
        assert!((0..whole.len()).all(|count| parse(&whole[..count]).is_err()));
        assert!(parse(&["--instance", "x"]).is_err());
        assert!(parse(&[&whole[..], &["--service"]].concat()).is_err());
    }
}
