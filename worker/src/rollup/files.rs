//! The files that rollups are written in: of a folder, or of a prefix of a bucket.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::RollupError;
use crate::aws::{self, S3Error};
use crate::intake::s3_uri::S3Uri;

const ENDING: &str = ".sql";

/// A rollup's file, read.
pub(super) struct SqlFile {
    /// Its path or URI.
    pub(super) place: String,
    /// Its name without the ending.
    pub(super) name: String,
    pub(super) sql: String,
}

impl SqlFile {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let name = path.file_stem().unwrap_or_default();
        Ok(Self {
            sql: std::fs::read_to_string(path)?,
            place: path.display().to_string(),
            name: name.to_string_lossy().into_owned(),
        })
    }
}

/// A file, or its name without the ending and why it can't be read.
pub(super) type ReadFile = Result<SqlFile, (String, RollupError)>;

/// The SQL files that lie in a folder, in the order of their names.
pub(super) async fn of_folder(folder: &str) -> Result<Vec<ReadFile>> {
    match S3Uri::parse(folder)? {
        Some(place) => of_bucket(place).await,
        None => on_disk(Path::new(folder)),
    }
}

fn on_disk(folder: &Path) -> Result<Vec<ReadFile>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "sql") {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: &PathBuf| {
        SqlFile::read(path).map_err(|source| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let place = path.display().to_string();
            (name.into_owned(), RollupError::Read { place, source })
        })
    };
    Ok(paths.iter().map(read).collect())
}

async fn of_bucket(place: S3Uri<'_>) -> Result<Vec<ReadFile>> {
    let client = aws::bucket(aws::sdk_config().await, place.bucket).await?;
    let folder = place.folder();
    let mut pages = client
        .list_objects_v2()
        .bucket(place.bucket)
        .prefix(&folder)
        .delimiter("/")
        .into_paginator()
        .send();
    // Listed in the order of their keys.
    let mut files = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| S3Error::new(&error, place.bucket, "s3:ListBucket"))?;
        for object in page.contents.unwrap_or_default() {
            let key = object.key.unwrap_or_default();
            let name = key.strip_prefix(&folder);
            let Some(name) = name.and_then(|name| name.strip_suffix(ENDING)) else {
                continue;
            };
            let name = name.to_owned();
            let place_of_file = format!("s3://{}/{key}", place.bucket);
            let get = client.get_object().bucket(place.bucket).key(&key);
            let got = get.send().await;
            let got = got.map_err(|error| S3Error::new(&error, place.bucket, "s3:GetObject"))?;
            let bytes = got.body.collect().await.with_context(|| key.clone())?;
            files.push(match String::from_utf8(bytes.to_vec()) {
                Ok(sql) => Ok(SqlFile {
                    sql,
                    place: place_of_file,
                    name,
                }),
                Err(error) => Err((
                    name,
                    RollupError::Read {
                        place: place_of_file,
                        source: error.into(),
                    },
                )),
            });
        }
    }
    Ok(files)
}
