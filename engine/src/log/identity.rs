//! `store.toml`: who the store is (FORMAT.md section 1). Written once, when it is created.

use std::path::Path;

use serde::Deserialize;
use uuid::Uuid;

use super::names;
use crate::checksum;
use crate::disk::{Disk, read_file, replace_file};
use crate::error::{Damage, OpenError};
use crate::ids::StoreId;
use crate::receipt::ReceiptKey;

/// The newest format version that this code reads, and the one that it writes.
pub const FORMAT_VERSION: u32 = 1;

/// `store.toml` is far smaller.
const IDENTITY_BYTES_MAX: u64 = 64 << 10;

/// A store's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The store's id.
    pub store: StoreId,
    /// When it was created, by the wall clock, in ms since the Unix epoch.
    pub created_ms: u64,
    /// The key of its receipts.
    pub receipt_key: ReceiptKey,
}

#[derive(Deserialize)]
struct File {
    store_id: String,
    created_ms: u64,
    receipt_key: String,
    checksum: String,
}

#[derive(Deserialize)]
struct FileVersion {
    format_version: u32,
}

impl Identity {
    /// A new store's identity.
    pub(crate) fn create(disk: &dyn Disk, created_ms: u64) -> Result<Self, OpenError> {
        let store = StoreId(uuid::Builder::from_random_bytes(random(disk)?).into_uuid());
        Ok(Self { store, created_ms, receipt_key: ReceiptKey(random(disk)?) })
    }

    /// The same store, whose receipts until now are not valid any more.
    pub(crate) fn with_other_key(&self, disk: &dyn Disk) -> Result<Self, OpenError> {
        Ok(Self { receipt_key: ReceiptKey(random(disk)?), ..*self })
    }

    pub(crate) fn write(&self, disk: &dyn Disk, data: &Path) -> Result<(), OpenError> {
        replace_file(disk, &names::identity(data), self.encode().as_bytes())?;
        Ok(())
    }

    fn encode(&self) -> String {
        let fields = self.encode_fields();
        let checksum = checksum::plain(&[fields.as_bytes()]);
        format!("{fields}checksum = \"{checksum:08x}\"\n")
    }

    fn encode_fields(&self) -> String {
        let key: String = self.receipt_key.0.iter().map(|byte| format!("{byte:02x}")).collect();
        format!(
            "format_version = {FORMAT_VERSION}\nstore_id = \"{}\"\ncreated_ms = {}\nreceipt_key = \"{key}\"\n",
            self.store, self.created_ms,
        )
    }

    pub(crate) fn read(disk: &dyn Disk, data: &Path) -> Result<Self, OpenError> {
        let path = names::identity(data);
        let bytes = read_file(disk, &path, IDENTITY_BYTES_MAX)?;
        let damaged = |detail: String| {
            OpenError::Damaged(Damage {
                path: path.clone(),
                offset: 0,
                bytes: bytes.len() as u64,
                position: None,
                detail,
            })
        };
        let text = std::str::from_utf8(&bytes).map_err(|e| damaged(format!("not UTF-8: {e}")))?;
        // The version first: a newer file may have other fields.
        if let Ok(FileVersion { format_version }) = toml::from_str(text)
            && format_version > FORMAT_VERSION
        {
            let (found, supported) = (format_version, FORMAT_VERSION);
            return Err(OpenError::FormatTooNew { path, found, supported });
        }
        let file: File = toml::from_str(text).map_err(|e| damaged(e.to_string()))?;
        let identity = Self {
            store: StoreId(
                file.store_id.parse::<Uuid>().map_err(|e| damaged(format!("store_id: {e}")))?,
            ),
            created_ms: file.created_ms,
            receipt_key: decode_key(&file.receipt_key)
                .ok_or_else(|| damaged("receipt_key is not 32 hexadecimal digits".to_owned()))?,
        };
        // Compared as text, so that every bit of the file counts.
        if identity.encode() != text {
            let expected = checksum::plain(&[identity.encode_fields().as_bytes()]);
            let found = &file.checksum;
            let detail = match *found == format!("{expected:08x}") {
                true => "it is not spelled as it was written".to_owned(),
                false => format!("checksum \"{found}\", expected \"{expected:08x}\""),
            };
            return Err(damaged(detail));
        }
        Ok(identity)
    }
}

/// Whether the checksum of a `store.toml` is that of the lines before it, whatever its version.
pub(crate) fn is_intact(file: &[u8]) -> bool {
    let text = std::str::from_utf8(file).unwrap_or_default();
    let Some((fields, checksum)) = text.split_once("checksum = ") else { return false };
    let expected = checksum::plain(&[fields.as_bytes()]);
    checksum.trim_end() == format!("\"{expected:08x}\"")
}

fn decode_key(text: &str) -> Option<ReceiptKey> {
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    let mut key = [0; 16];
    for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(ReceiptKey(key))
}

fn random<const N: usize>(disk: &dyn Disk) -> Result<[u8; N], OpenError> {
    let mut bytes = [0; N];
    disk.fill_random(&mut bytes).map_err(|error| OpenError::Random(error.to_string()))?;
    Ok(bytes)
}
