//! Merkle trees over SHA-256, as RFC 9162 defines them in section 2.1.1 (the same as in RFC 6962, section 2.1): the hash of a leaf
//! begins with the byte 0, that of a node with the byte 1. Of n leaves, the left subtree has the first k, the largest power of
//! two that is smaller than n.

use sha2::{Digest, Sha256};

/// A SHA-256.
pub(super) type Hash = [u8; 32];

const LEAF: [u8; 1] = [0];
const NODE: [u8; 1] = [1];

/// A leaf under construction: a list of texts. Each text is preceded by its length in bytes, as a big-endian integer of 8 bytes. So
/// different lists never give the same bytes.
pub(super) struct Leaf(Sha256);

impl Leaf {
    /// A leaf whose first text is its kind.
    pub(super) fn new(kind: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(LEAF);
        Self(hash).text(kind)
    }

    pub(super) fn text(mut self, text: &str) -> Self {
        self.0.update((text.len() as u64).to_be_bytes());
        self.0.update(text);
        self
    }

    /// A number, as decimal text.
    pub(super) fn number(self, number: impl Into<i64>) -> Self {
        let number: i64 = number.into();
        self.text(&number.to_string())
    }

    pub(super) fn hash(self) -> Hash {
        self.0.finalize().into()
    }
}

/// A tree that is built from left to right. It takes memory for one hash per level.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The roots of complete subtrees, each with the number of its leaves: distinct powers of two, the largest first.
    subtrees: Vec<(u64, Hash)>,
}

impl Tree {
    pub(super) fn push(&mut self, leaf: Hash) {
        let (mut leaves, mut root) = (1, leaf);
        while let Some((_, left)) = self.subtrees.pop_if(|(of_left, _)| *of_left == leaves) {
            root = node(&left, &root);
            leaves *= 2;
        }
        self.subtrees.push((leaves, root));
    }

    /// The root. The root of an empty tree is the hash of no bytes.
    pub(super) fn root(&self) -> Hash {
        let mut subtrees = self.subtrees.iter().rev();
        let Some((_, last)) = subtrees.next() else {
            return Sha256::digest([]).into();
        };
        subtrees.fold(*last, |right, (_, left)| node(left, &right))
    }
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let mut hash = Sha256::new();
    hash.update(NODE);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

/// The 64 hexadecimal digits of a hash.
pub(super) fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition in the RFC, word for word.
    fn defined(leaves: &[&[u8]]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [leaf] => Sha256::digest([&[0], *leaf].concat()).into(),
            _ => {
                let k = leaves.len().next_power_of_two() / 2;
                node(&defined(&leaves[..k]), &defined(&leaves[k..]))
            }
        }
    }

    fn built(leaves: &[&[u8]]) -> Hash {
        let mut tree = Tree::default();
        for leaf in leaves {
            tree.push(Sha256::digest([&[0], *leaf].concat()).into());
        }
        tree.root()
    }

    #[test]
    fn trees_of_all_sizes_are_as_the_rfc_defines_them() {
        let texts: Vec<String> = (0..70).map(|n| format!("leaf {n}")).collect();
        let leaves: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        for n in 0..leaves.len() {
            assert_eq!(built(&leaves[..n]), defined(&leaves[..n]), "{n} leaves");
        }
    }

    /// The leaves and roots that implementations of Certificate Transparency test with.
    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let leaves: [&[u8]; 8] = [
            b"",
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[
                0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d,
                0x6e, 0x6f,
            ],
        ];
        for (size, root) in [
            (
                0,
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            (
                1,
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            ),
            (
                8,
                "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
            ),
        ] {
            assert_eq!(hex(&built(&leaves[..size])), root);
        }
    }

    #[test]
    fn different_lists_of_texts_are_different_leaves() {
        let of = |texts: &[&str]| {
            let leaf = texts
                .iter()
                .fold(Leaf::new("x"), |leaf, text| leaf.text(text));
            leaf.hash()
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["a"]), of(&["a", ""]));
    }
}
