//! The images that jobs may run in: what there is for everybody, and their removal for administrators.
//!
//! They are made by root's command line (`kiln image`), not here.
use poem_openapi::param::Path;
use poem_openapi::{ApiResponse, Object, OpenApi, Tags};

use crate::access::{self, Denied, Permit};
use crate::api::caller::Caller;
use crate::api::error::{ApiError, Kind};
use crate::api::payload::JsonText;
use crate::api::state::ApiState;
use crate::base::size::ByteSize;
use crate::job::request::offer::{KnownImage, Offer};

#[derive(Tags)]
enum Tag {
    /// The installation itself
    System,
    /// What only who manages the installation may do
    Administration,
}

/// The operations on images.
#[derive(Debug)]
pub(super) struct Images {
    pub(super) state: ApiState,
}

/// The images of the store.
#[derive(Debug, Object)]
struct ImageList {
    /// By name. The host's own programs, `host`, are always there beside them.
    images: Vec<ImageBody>,
    /// How many there are.
    total: u64,
}

/// An image of the store.
#[derive(Debug, Object)]
#[oai(rename = "Image")]
struct ImageBody {
    /// What jobs show.
    name: String,
    /// SHA-256 of its file. A request may name it by this.
    digest: String,
    /// All names that a request may give it.
    tags: Vec<String>,
    /// Its file, MiB, rounded up.
    size: u64,
    /// When it was made.
    created_at: String,
    /// Processor that its programs are for.
    architecture: String,
    /// SHA-256 of the recipe that it was built from; null where it was imported.
    #[oai(nullable)]
    recipe_digest: Option<String>,
    /// The languages in it.
    languages: Vec<ImageLanguage>,
}

/// A language in an image.
#[derive(Debug, Object)]
struct ImageLanguage {
    /// Its id.
    language: String,
    /// Its version.
    version: String,
}

/// An image or a name of it is gone.
#[derive(ApiResponse)]
enum Removed {
    /// It is removed
    #[oai(status = 204)]
    Done,
}

#[OpenApi]
impl Images {
    /// List the images
    #[oai(path = "/v1/images", method = "get", operation_id = "list_images", tag = "Tag::System")]
    async fn images(&self) -> Result<JsonText<ImageList>, ApiError> {
        Ok(JsonText(shown(&self.state.core.offer())))
    }

    /// List the images, for administrators
    #[oai(
        path = "/v1/admin/images",
        method = "get",
        operation_id = "list_images_as_admin",
        tag = "Tag::Administration"
    )]
    async fn administered(&self, caller: Caller) -> Result<JsonText<ImageList>, ApiError> {
        permitted(&caller)?;
        Ok(JsonText(shown(&self.state.core.offer())))
    }

    /// Remove an image
    ///
    /// One of several names is removed alone; with the last one, or by its digest, the image goes with all its names. An image that a job which has not ended runs in, or will, is kept: 409.
    #[oai(
        path = "/v1/admin/images/:image",
        method = "delete",
        operation_id = "delete_image",
        tag = "Tag::Administration"
    )]
    async fn remove(
        &self,
        caller: Caller,
        /// A name, as `python:3.13`, with `/` as `%2F`; or a digest, as `sha256:` and 64 digits.
        image: Path<String>,
    ) -> Result<Removed, ApiError> {
        let permit = permitted(&caller)?;
        self.state.core.remove_image(image.0, permit).await?;
        Ok(Removed::Done)
    }
}

fn permitted(caller: &Caller) -> Result<Permit, ApiError> {
    access::administer(&caller.0).map_err(|Denied| ApiError::new(Kind::Forbidden, "images are for administrators"))
}

fn shown(offer: &Offer) -> ImageList {
    let images: Vec<ImageBody> = offer.images.iter().map(|image| body(image, offer)).collect();
    ImageList { total: u64::try_from(images.len()).unwrap_or(u64::MAX), images }
}

fn body(known: &KnownImage, offer: &Offer) -> ImageBody {
    let inside = offer.languages.iter().filter(|language| language.image == known.image);
    ImageBody {
        name: known.image.name().to_owned(),
        digest: known.image.digest().map(|digest| digest.to_string()).unwrap_or_default(),
        tags: known.references.clone(),
        size: known.size.div_ceil(ByteSize::mib(1).bytes()),
        created_at: known.created.clone(),
        architecture: known.architecture.clone(),
        recipe_digest: known.recipe.map(|digest| digest.to_string()),
        languages: inside
            .map(|language| ImageLanguage {
                language: language.id.clone(),
                version: language.version.clone().unwrap_or_default(),
            })
            .collect(),
    }
}
