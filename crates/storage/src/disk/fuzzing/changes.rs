//! What may become of files: an input says where and how.

use std::path::{Path, PathBuf};

use super::input::Input;
use super::written::{Files, UUID, Written, name_of};
use crate::disk::frame;

/// Makes changes to the files of a log, as long as the input names any.
pub(super) fn make(files: &mut Files, written: &Written, input: &mut Input<'_>) {
    let places = places(written);
    while !input.is_empty() {
        let kind = input.byte() % 9;
        let (name, at) = place(&places, input);
        match kind {
            0 => {
                let bytes = some_bytes(input);
                edit(files, &name, |file| overwrite(file, at, bytes));
            }
            1 => {
                let zeros = vec![0; input.number()];
                edit(files, &name, |file| overwrite(file, at, &zeros));
            }
            2 => edit(files, &name, |file| file.truncate(at)),
            3 => {
                let bytes = some_bytes(input);
                edit(files, &name, |file| {
                    let at = at.min(file.len());
                    file.splice(at..at, bytes.iter().copied());
                });
            }
            4 => {
                let length = input.number();
                edit(files, &name, |file| {
                    drop(file.drain(at.min(file.len())..(at + length).min(file.len())))
                });
            }
            5 => edit(files, &name, |file| seal(file, &name, at)),
            6 => drop(files.remove(&name)),
            7 => {
                let (source, from) = place(&places, input);
                let length = input.number();
                let copied = files.get(&source).and_then(|file| file.get(from..)).unwrap_or_default();
                let copied = copied[..length.min(copied.len())].to_vec();
                overwrite(files.entry(name).or_default(), at, &copied);
            }
            _ => {
                let number = u64::from_le_bytes(std::array::from_fn(|_| input.byte()));
                if let Some(file) = files.remove(&name) {
                    files.insert(name_of(number), file);
                }
            }
        }
    }
}

/// Changes a file, if it is still there.
fn edit(files: &mut Files, name: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    if let Some(file) = files.get_mut(name) {
        change(file);
    }
}

/// A few bytes of the input.
fn some_bytes<'a>(input: &mut Input<'a>) -> &'a [u8] {
    let length = usize::from(input.byte() % 32) + 1;
    input.bytes(length)
}

/// Where something begins: each file and each frame.
fn places(written: &Written) -> Vec<(PathBuf, usize)> {
    let files = written.files.keys().map(|name| (name.clone(), 0));
    let frames = written.frames.iter().map(|frame| (name_of(frame.segment), frame.place.start));
    files.chain(frames).collect()
}

/// A little behind where something begins.
fn place(places: &[(PathBuf, usize)], input: &mut Input<'_>) -> (PathBuf, usize) {
    let (name, begin) = input.choose(places);
    (name.clone(), begin + usize::from(input.byte()))
}

fn overwrite(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if file.len() < at + bytes.len() {
        file.resize(at + bytes.len(), 0);
    }
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Gives the frame that begins here, if one does by its length, the checksum of what it holds by now. A fuzzer would
/// hardly come upon that, and see nothing of what lies behind the checksum.
fn seal(file: &mut [u8], name: &Path, at: usize) {
    let Some(segment) = name.file_stem().and_then(|stem| stem.to_str()?.parse().ok()) else { return };
    let Some(length) = file.get(at..).and_then(frame::length) else { return };
    let Some(bytes) = file.get_mut(at..at + length) else { return };
    let number = |at| u64::from_le_bytes(std::array::from_fn(|index| bytes[at + index]));
    let (number, durable) = (number(8), number(16));
    frame::seal(bytes, frame::seed(UUID, segment), number, durable);
}
