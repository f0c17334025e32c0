//! The tree against RFC 6962 written down as it stands there.

use proptest::prelude::*;

use crate::tree::*;

const LEAVES_MAX: usize = 70;

/// MTH of RFC 6962, 2.1.
fn naive_root(leaves: &[Vec<u8>]) -> Hash {
    match leaves {
        [] => sha256(&[]),
        [leaf] => sha256(&[&[0], leaf.as_slice()].concat()),
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            sha256(&[[1].as_slice(), &naive_root(left), &naive_root(right)].concat())
        }
    }
}

/// The largest power of two smaller than `n`.
fn split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// PATH of RFC 6962, 2.1.1.
fn naive_path(m: usize, leaves: &[Vec<u8>]) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, sibling) = if m < k { (naive_path(m, left), right) } else { (naive_path(m - k, right), left) };
    path.push(naive_root(sibling));
    path
}

/// SUBPROOF of RFC 6962, 2.1.2.
fn naive_proof(m: usize, leaves: &[Vec<u8>], is_known: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if is_known { Vec::new() } else { vec![naive_root(leaves)] };
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut proof, sibling) =
        if m <= k { (naive_proof(m, left, is_known), right) } else { (naive_proof(m - k, right, false), left) };
    proof.push(naive_root(sibling));
    proof
}

fn leaves(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|at| format!("leaf {at}").into_bytes()).collect()
}

fn hashes(leaves: &[Vec<u8>]) -> Vec<Hash> {
    leaves.iter().map(|leaf| leaf_hash(leaf)).collect()
}

fn tree(leaves: &[Vec<u8>]) -> Tree {
    let mut tree = Tree::new();
    leaves.iter().for_each(|leaf| tree.push(leaf));
    tree
}

#[test]
fn roots_and_proofs_are_those_of_the_rfc_for_every_size() {
    let all = leaves(LEAVES_MAX);
    for size in 0..=LEAVES_MAX {
        let (leaves, hashes) = (&all[..size], &hashes(&all[..size]));
        let root = naive_root(leaves);
        assert_eq!(tree(leaves).root(), root, "{size}");
        assert_eq!(crate::tree::root(hashes), root, "{size}");
        for index in 0..size {
            let path = prove_inclusion(hashes, index as u64);
            assert_eq!(path, naive_path(index, leaves), "{index} of {size}");
            assert!(verify_inclusion(&root, size as u64, index as u64, &hashes[index], &path), "{index} of {size}");
            assert!(path.len() <= PROOF_HASHES_MAX);
        }
        for old in 1..=size {
            let proof = prove_consistency(hashes, old as u64);
            assert_eq!(proof, naive_proof(old, leaves, true), "{old} in {size}");
            let old_root = naive_root(&all[..old]);
            assert!(verify_consistency(old as u64, &old_root, size as u64, &root, &proof), "{old} in {size}");
        }
        assert!(verify_consistency(0, &sha256(&[]), size as u64, &root, &[]));
    }
}

#[test]
fn a_tree_is_kept_without_its_leaves() {
    let all = leaves(LEAVES_MAX);
    for size in 0..LEAVES_MAX {
        let mut kept = Tree::from_bytes(&tree(&all[..size]).to_bytes()).unwrap();
        assert_eq!(kept.to_bytes().len(), 8 + 32 * size.count_ones() as usize);
        all[size..].iter().for_each(|leaf| kept.push(leaf));
        assert_eq!(kept, tree(&all));
    }
    let bytes = tree(&all).to_bytes();
    for cut in 0..bytes.len() {
        assert!(Tree::from_bytes(&bytes[..cut]).is_err(), "{cut}");
    }
    assert!(Tree::from_bytes(&[bytes.as_slice(), &[0; 32]].concat()).is_err());
    let mut full = Tree::from_bytes(&[[255; 8].as_slice(), &[1; 64 * 32]].concat()).unwrap();
    full.push(b"one more");
    assert_eq!(full.size(), u64::MAX);
}

#[test]
fn a_proof_of_something_else_is_refused() {
    let all = leaves(13);
    let (hashes, root) = (hashes(&all), naive_root(&all));
    for index in 0..13 {
        let path = prove_inclusion(&hashes, index);
        let leaf = &hashes[index as usize];
        for other in (0..20).filter(|other| *other != index) {
            assert!(!verify_inclusion(&root, 13, other, leaf, &path), "{index} as {other}");
        }
        assert!(!verify_inclusion(&root, 13, index, leaf, &path[1..]));
        assert!(!verify_inclusion(&root, 13, index, leaf, &[path.as_slice(), &path[..1]].concat()));
        assert!(!verify_inclusion(&root, 0, index, leaf, &path));
    }
    assert!(prove_inclusion(&hashes, 13).is_empty() && prove_consistency(&hashes, 14).is_empty());
    let old_root = naive_root(&all[..6]);
    let proof = prove_consistency(&hashes, 6);
    assert!(verify_consistency(6, &old_root, 13, &root, &proof));
    assert!(!verify_consistency(5, &old_root, 13, &root, &proof));
    assert!(!verify_consistency(6, &root, 13, &root, &proof));
    assert!(!verify_consistency(6, &old_root, 13, &old_root, &proof));
    assert!(!verify_consistency(6, &old_root, 13, &root, &proof[1..]));
    assert!(!verify_consistency(13, &root, 6, &old_root, &proof));
    assert!(!verify_consistency(0, &old_root, 13, &root, &[]));
    assert!(!verify_consistency(6, &old_root, 0, &root, &proof));
}

proptest! {
    #[test]
    fn one_bit_anywhere_breaks_a_proof(size in 2_usize..200, at: prop::sample::Index, bit: prop::sample::Index) {
        let all = leaves(size);
        let (hashes, root) = (hashes(&all), naive_root(&all));
        let index = at.index(size);
        let mut path = prove_inclusion(&hashes, index as u64);
        let bit = bit.index(path.len() * 256);
        path[bit / 256][bit % 256 / 8] ^= 1 << (bit % 8);
        prop_assert!(!verify_inclusion(&root, size as u64, index as u64, &hashes[index], &path));
        let old = at.index(size - 1) + 1;
        let old_root = naive_root(&all[..old]);
        let mut proof = prove_consistency(&hashes, old as u64);
        prop_assert!(verify_consistency(old as u64, &old_root, size as u64, &root, &proof));
        let bit = bit % (proof.len() * 256);
        proof[bit / 256][bit % 256 / 8] ^= 1 << (bit % 8);
        prop_assert!(!verify_consistency(old as u64, &old_root, size as u64, &root, &proof));
    }

    #[test]
    fn any_proof_is_judged_without_a_panic(numbers: [u64; 3], proof: Vec<Hash>, hashes: [Hash; 2]) {
        let [size, index, other] = numbers;
        prop_assert!(!verify_inclusion(&hashes[0], size, index, &hashes[1], &proof));
        prop_assert!(!verify_consistency(other, &hashes[0], size, &hashes[1], &proof));
    }

    #[test]
    fn any_bytes_are_a_tree_or_refused(bytes: Vec<u8>) {
        if let Ok(tree) = Tree::from_bytes(&bytes) {
            prop_assert_eq!(tree.to_bytes(), bytes);
        }
    }
}
