//! The Merkle tree of RFC 6962 over the leaves of a log, or the lines of a file.
//!
//! A [`Tree`] grows without its leaves: it keeps the root of each full subtree, at most 64 hashes. Proofs need the hashes of all
//! leaves, and are checked as RFC 9162 (2.1.3.2, 2.1.4.2) says.

use aws_lc_rs::digest;

/// SHA-256.
pub type Hash = [u8; 32];

/// Before a leaf and before two hashes, so that neither can be taken for the other.
const LEAF: u8 = 0;
const NODE: u8 = 1;
const SIZE_BYTES: usize = 8;
/// Hashes in a proof: a path has one a level, of which a tree of 2^64 leaves has 64, and a proof of consistency one more.
pub const PROOF_HASHES_MAX: usize = 65;

/// SHA-256 of the parts, one after the other.
fn sha256_of(parts: &[&[u8]]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    hash_of(context)
}

fn hash_of(context: digest::Context) -> Hash {
    let mut hash = Hash::default();
    for (to, from) in hash.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    hash
}

/// SHA-256 of `bytes`, without a prefix.
pub fn sha256(bytes: &[u8]) -> Hash {
    sha256_of(&[bytes])
}

/// The hash of a leaf: SHA-256(0x00 ‖ leaf).
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    sha256_of(&[&[LEAF], leaf])
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256_of(&[&[NODE], left, right])
}

/// A tree that grows at its end, without its leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// Roots of the full subtrees, the largest first: one for each bit of the size.
    full: Vec<Hash>,
}

/// Bytes that are no [`Tree`].
#[derive(Debug, thiserror::Error)]
#[error("{bytes} bytes are not a tree: it has 8 bytes of size and 32 for each bit that is set in the size")]
pub struct NotATree {
    bytes: usize,
}

impl Tree {
    /// Without leaves.
    pub const fn new() -> Self {
        Self { size: 0, full: Vec::new() }
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: &[u8]) {
        self.push_hash(leaf_hash(leaf));
    }

    /// Appends the leaf with this [`leaf_hash`].
    pub fn push_hash(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // each bit that is set at the end of the size is a full subtree as large as the one that has just become full
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.full.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.full.push(hash);
        self.size = self.size.saturating_add(1);
    }

    /// Number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root: of an empty tree SHA-256 of nothing.
    pub fn root(&self) -> Hash {
        let mut subtrees = self.full.iter().rev();
        let Some(last) = subtrees.next() else { return sha256(&[]) };
        subtrees.fold(*last, |right, left| node_hash(left, &right))
    }

    /// For a state: the size in 8 bytes, the greatest first, and 32 bytes for each full subtree.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.size.to_be_bytes().to_vec();
        bytes.extend(self.full.iter().flatten());
        bytes
    }

    /// Of [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    /// Their number is not the one that the size needs.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotATree> {
        let wrong = || NotATree { bytes: bytes.len() };
        let (size, hashes) = bytes.split_first_chunk::<SIZE_BYTES>().ok_or_else(wrong)?;
        let size = u64::from_be_bytes(*size);
        let (full, rest) = hashes.as_chunks::<32>();
        let is_whole = rest.is_empty() && u32::try_from(full.len()) == Ok(size.count_ones());
        if is_whole { Ok(Self { size, full: full.to_vec() }) } else { Err(wrong()) }
    }
}

/// The root over these leaf hashes.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut tree = Tree::new();
    for leaf in leaves {
        tree.push_hash(*leaf);
    }
    tree.root()
}

/// Where a tree of more than one leaf is divided: the greatest power of 2 below their number.
fn divide(leaves: &[Hash]) -> (&[Hash], &[Hash]) {
    let half = leaves.len().next_power_of_two().checked_div(2).unwrap_or_default();
    leaves.split_at_checked(half).unwrap_or((leaves, &[]))
}

/// The audit path of leaf `index`, from the leaf to the root. Empty if there is no such leaf, which no verifier accepts but
/// for a tree of one leaf.
pub fn prove_inclusion(leaves: &[Hash], index: u64) -> Vec<Hash> {
    let Some(mut index) = usize::try_from(index).ok().filter(|index| *index < leaves.len()) else { return Vec::new() };
    let mut subtree = leaves;
    let mut path = Vec::new();
    while subtree.len() > 1 {
        let (left, right) = divide(subtree);
        match index.checked_sub(left.len()) {
            None => {
                path.push(root(right));
                subtree = left;
            }
            Some(in_right) => {
                path.push(root(left));
                (index, subtree) = (in_right, right);
            }
        }
    }
    path.reverse();
    path
}

/// Whether `leaf`, a [`leaf_hash`], is number `index` of the `size` leaves below `root`.
#[must_use]
pub fn verify_inclusion(root: &Hash, size: u64, index: u64, leaf: &Hash, path: &[Hash]) -> bool {
    let Some(last) = size.checked_sub(1).filter(|last| index <= *last) else { return false };
    let mut walk = Walk { node: index, last };
    let mut hash = *leaf;
    for sibling in path {
        match walk.step() {
            None => return false,
            Some(Side::Left) => hash = node_hash(sibling, &hash),
            Some(Side::Right) => hash = node_hash(&hash, sibling),
        }
    }
    walk.last == 0 && hash == *root
}

/// Where the sibling of a node is.
enum Side {
    Left,
    Right,
}

/// A node on its way from a leaf to the root, and the last node of its level.
struct Walk {
    node: u64,
    last: u64,
}

impl Walk {
    /// To the next level at which the node has a sibling. `None`: it was the root.
    fn step(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let side = if self.node & 1 == 1 || self.node == self.last {
            // the last node of a level without a sibling is passed up as it is
            while self.node & 1 == 0 && self.node != 0 {
                self.up();
            }
            Side::Left
        } else {
            Side::Right
        };
        self.up();
        Some(side)
    }

    fn up(&mut self) {
        (self.node, self.last) = (self.node.wrapping_shr(1), self.last.wrapping_shr(1));
    }
}

/// The proof that the first `old` of these leaves are the beginning of all of them. Empty if `old` is 0 or all.
pub fn prove_consistency(leaves: &[Hash], old: u64) -> Vec<Hash> {
    let Some(mut old) = usize::try_from(old).ok().filter(|old| (1..leaves.len()).contains(old)) else {
        return Vec::new();
    };
    let (mut subtree, mut is_old_root) = (leaves, true);
    let mut proof = Vec::new();
    while old < subtree.len() {
        let (left, right) = divide(subtree);
        match old.checked_sub(left.len()).filter(|in_right| *in_right > 0) {
            None => {
                proof.push(root(right));
                subtree = left;
            }
            Some(in_right) => {
                proof.push(root(left));
                (old, subtree, is_old_root) = (in_right, right, false);
            }
        }
    }
    // the verifier has the old root already
    if !is_old_root {
        proof.push(root(subtree));
    }
    proof.reverse();
    proof
}

/// Whether the log of `old_size` leaves and `old_root` is the beginning of the one of `size` leaves and `root`. Every log
/// begins with the empty one.
#[must_use]
pub fn verify_consistency(old_size: u64, old_root: &Hash, size: u64, root: &Hash, proof: &[Hash]) -> bool {
    if old_size == 0 {
        return proof.is_empty() && *old_root == sha256(&[]);
    }
    if old_size == size {
        return proof.is_empty() && old_root == root;
    }
    let (Some(node), Some(last)) = (old_size.checked_sub(1), size.checked_sub(1)) else { return false };
    if node > last {
        return false;
    }
    let mut walk = Walk { node, last };
    while walk.node & 1 == 1 {
        walk.up();
    }
    let (first, rest) = match proof.split_first() {
        None => return false,
        // the old tree is a full subtree of the new one
        Some(_) if old_size.is_power_of_two() => (old_root, proof),
        Some((first, rest)) => (first, rest),
    };
    let (mut old_hash, mut hash) = (*first, *first);
    for sibling in rest {
        match walk.step() {
            None => return false,
            Some(Side::Left) => {
                old_hash = node_hash(sibling, &old_hash);
                hash = node_hash(sibling, &hash);
            }
            Some(Side::Right) => hash = node_hash(&hash, sibling),
        }
    }
    walk.last == 0 && old_hash == *old_root && hash == *root
}
