#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "tests")]

use super::*;

/// A vector with a length prefix.
fn vector(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    let prefix = match length {
        0..64 => vec![length as u8],
        64..16_384 => (0x4000 | length as u16).to_be_bytes().to_vec(),
        _ => (0x8000_0000 | length).to_be_bytes().to_vec(),
    };
    [&prefix, bytes].concat()
}

fn extension(kind: u16, bytes: usize) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector(&vec![7; bytes])].concat()
}

/// A leaf of a key package, with these extensions.
fn leaf(extensions: &[u8]) -> Vec<u8> {
    let keys = [vector(&[1; 97]), vector(&[2; 97])].concat();
    let credential = [&[0, 1][..], &vector(&[3; 300])].concat();
    let capabilities = vector(&[0, 1]).repeat(5);
    [&keys[..], &credential, &capabilities, &[1], &[0; 16], &vector(extensions), &vector(&[4; 104])].concat()
}

fn key_package(leaf: &[u8], extensions: &[u8]) -> Vec<u8> {
    let head = [&[0, 1, 0, 7][..], &vector(&[5; 97])].concat();
    [&head[..], leaf, &vector(extensions), &vector(&[6; 104])].concat()
}

/// A public message of a member with this content.
fn public(content: &[u8]) -> Vec<u8> {
    let head = [&[0, 1, 0, 1][..], &vector(&[8; 64]), &[0; 8], &[1, 0, 0, 0, 0], &vector(&[])].concat();
    [&head[..], content, &vector(&[9; 104]), &vector(&[9; 48])].concat()
}

fn add(package: &[u8]) -> Vec<u8> {
    public(&[&[2, 0, 1][..], package].concat())
}

fn part(result: Result<(), ShapeError>) -> &'static str {
    match result {
        Err(ShapeError::Part { part, .. }) => part,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_members_would_have_to_keep_is_small() {
    let ordinary = leaf(&[]).len();
    let fits = LEAF_BYTES_MAX - ordinary - 8;
    for (extra, allowed) in [(0, true), (fits, true), (fits + 16, false), (15_000_000, false)] {
        let leaf = leaf(&extension(0xf1a7, extra));
        let package = key_package(&leaf, &[]);
        let commit = [&[3][..], &vector(&[&[1, 0, 1][..], &package].concat()), &[1], &leaf, &vector(&[])].concat();
        let update = public(&[&[2, 0, 2][..], &leaf].concat());
        let messages = [[&[0, 1, 0, 5][..], &package].concat(), add(&package), public(&commit), update];
        for message in messages {
            if allowed {
                assert_eq!(check(&message), Ok(()));
            } else {
                let named = part(check(&message));
                assert!(["leaf", "list of extensions"].contains(&named), "{named}");
            }
        }
    }
    // a key package's own extensions, and those of a group
    let heavy = key_package(&leaf(&[]), &extension(0xf1a7, EXTENSIONS_BYTES_MAX + 1));
    assert_eq!(part(check(&add(&heavy))), "list of extensions");
    let together = key_package(&leaf(&extension(1, fits)), &extension(0xf1a7, EXTENSIONS_BYTES_MAX - 3000));
    assert_eq!(part(check(&add(&together))), "key package");
    let context = |bytes| public(&[&[2, 0, 7][..], &vector(&extension(0xf1a7, bytes))].concat());
    assert_eq!(check(&context(1000)), Ok(()));
    assert_eq!(part(check(&context(EXTENSIONS_BYTES_MAX + 1))), "list of extensions");
    let private = |bytes: usize| public(&[&[2, 0xf0, 1][..], &vector(&vec![1; bytes])].concat());
    assert_eq!(check(&private(1000)), Ok(()));
    assert_eq!(part(check(&private(EXTENSIONS_BYTES_MAX + 1))), "proposal");
}

#[test]
fn a_ratchet_tree_is_as_large_as_its_leaves_make_it() {
    let node = [&[1, 1][..], &leaf(&extension(0xf1a7, 4000))].concat();
    let tree = vector(&node.repeat(40));
    assert!(tree.len() > EXTENSIONS_BYTES_MAX);
    assert_eq!(check_tree(&tree), Ok(()));
    let heavy = [&[1, 1][..], &leaf(&extension(0xf1a7, LEAF_BYTES_MAX))].concat();
    assert_eq!(part(check_tree(&vector(&heavy))), "leaf");
}
