//! Operations to routes: what the derive macro leaves undone.
//!
//! A path that two operations share is one entry of the document, every path answers with and
//! without a slash at its end, and what a path allows is known where a method is wrong.
use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;
use std::sync::Arc;

use poem::EndpointExt as _;
use poem::endpoint::BoxEndpoint;
use poem::http::Method;
use poem_openapi::OpenApi;
use poem_openapi::registry::{MetaApi, MetaPath, Registry};

type Table = HashMap<String, HashMap<Method, BoxEndpoint<'static>>>;

/// Operations with their routes put right.
#[derive(Debug)]
pub(super) struct Routes<T>(pub(super) T);

impl<T: OpenApi> OpenApi for Routes<T> {
    fn meta() -> Vec<MetaApi> {
        merged::<T>()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn add_routes(self, table: &mut Table) {
        let mut plain = Table::new();
        self.0.add_routes(&mut plain);
        let plain: BTreeMap<_, _> = plain.into_iter().collect();
        for (path, methods) in plain {
            let shared: Vec<_> = methods.into_iter().map(|(method, endpoint)| (method, Arc::new(endpoint))).collect();
            for alias in [format!("{path}/"), path] {
                let again = shared.iter().map(|(method, endpoint)| (method.clone(), Arc::clone(endpoint).boxed()));
                table.entry(alias).or_default().extend(again);
            }
        }
    }
}

/// The same operations without anything behind them, for the document.
pub(super) struct Described<T>(pub(super) PhantomData<fn() -> T>);

impl<T: OpenApi> OpenApi for Described<T> {
    fn meta() -> Vec<MetaApi> {
        merged::<T>()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn add_routes(self, _table: &mut Table) {}
}

fn merged<T: OpenApi>() -> Vec<MetaApi> {
    let mut paths: Vec<MetaPath> = Vec::new();
    for path in T::meta().into_iter().flat_map(|api| api.paths) {
        match paths.iter_mut().find(|known| known.path == path.path) {
            Some(known) => known.operations.extend(path.operations),
            None => paths.push(path),
        }
    }
    vec![MetaApi { paths }]
}

/// The methods of every path, for `Allow`.
#[derive(Debug)]
pub(super) struct Allowed(Vec<(String, String)>);

impl Allowed {
    /// Of these operations, and of further paths that have GET only.
    pub(super) fn of<T: OpenApi>(pages: &[&str]) -> Self {
        let methods = |path: &MetaPath| {
            let mut names: Vec<String> = path.operations.iter().map(|operation| operation.method.to_string()).collect();
            if names.iter().any(|name| name == "GET") {
                names.push(String::from("HEAD"));
            }
            names.sort();
            names.join(", ")
        };
        let paths = merged::<T>().into_iter().flat_map(|api| api.paths);
        let operations = paths.map(|path| (path.path.clone(), methods(&path)));
        let pages = pages.iter().map(|page| ((*page).to_owned(), String::from("GET, HEAD")));
        Self(operations.chain(pages).collect())
    }

    /// The methods of a path as it was asked for.
    pub(super) fn at(&self, path: &str) -> Option<String> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let found = self.0.iter().find(|(pattern, _)| matches(pattern, path));
        found.map(|(_, methods)| methods.clone())
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(part), Some(text)) if part == text || part.starts_with('{') => {}
            _ => return false,
        }
    }
}
