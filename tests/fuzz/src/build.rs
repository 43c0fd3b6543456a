//! What init builds its sandbox from: the order of the spawner and the mold. An input is two bytes with the length of
//! the order, the order, and the mold.
#[expect(dead_code, reason = "a target does not use all of it")]
#[path = "../../../src/init/build/order.rs"]
mod order;

use crate::kernel;
use crate::protocol::{BUILD, BUILD_DESCRIPTORS, MOLD_MAGIC, NETWORK_GIVEN, NETWORK_KEPT};
use order::{Network, Order};

/// An order that is accepted is whole: each of its lists can be walked, as the steps do, and every string in it ends with
/// its only NUL.
pub(crate) fn order_and_mold(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk() else { return };
    let (packet, mold) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
    kernel::begin(mold);
    let descriptors: [kernel::Fd; BUILD_DESCRIPTORS] = std::array::from_fn(|index| index as kernel::Fd);
    let Ok(order) = Order::read(packet, &descriptors) else { return };
    let mut named = vec![order.root, order.device, order.temporary];
    let network = match order.network {
        Network::New => None,
        Network::Kept(network) | Network::Given(network) => Some(network),
    };
    named.extend(order.join.iter().chain(order.trees).copied().chain(network));
    assert!(named.is_sorted() && named.iter().all(|fd| (1..BUILD_DESCRIPTORS as i32).contains(fd)), "{named:?}");
    named.dedup();
    let walked = 3 + order.join.len() + order.trees.len() + usize::from(network.is_some());
    assert_eq!(named.len(), walked, "a descriptor has two meanings");
    let mut places = 0;
    let walk = order.places.each(|place| {
        places += 1;
        string(place.target);
        Ok(())
    });
    assert_eq!((walk, places), (Ok(()), order.trees.len()));
    let mold = &order.mold;
    for text in [mold.host_name, mold.oom_score, mold.place, mold.hiding_file, mold.hiding_folder] {
        string(text);
    }
    for list in [&mold.read_only, &mold.hidden_files, &mold.hidden_folders] {
        assert_eq!(list.each(|path| Ok(string(path))), Ok(()));
    }
    assert_eq!(mold.limits.each(|_| Ok(())), Ok(()));
    assert_eq!(mold.directories.each(|directory| Ok(string(directory.path))), Ok(()));
    assert_eq!(mold.counters.each(|counter| Ok(string(counter.name))), Ok(()));
}

fn string(text: &[u8]) {
    assert_eq!(text.iter().position(|&byte| byte == 0), text.len().checked_sub(1), "{text:?}");
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let order = |numbers: [u32; 3], places: &[u8]| {
        let [joins, trees, network] = numbers;
        [words(&[BUILD, 100_000, joins, trees, network]), places.to_vec()].concat()
    };
    let texts: &[u8] = b"kiln\x00800\0/stage/place\0/stage/masks/file\0/stage/masks/folder\0";
    let mold = [
        words(&[MOLD_MAGIC, 0o022, 1000]),
        texts.to_vec(),
        words(&[1]),
        b"proc/sys\0".to_vec(),
        words(&[1]),
        b"/stage/place/proc/kcore\0".to_vec(),
        words(&[0]),
        words(&[1, 4, 0, 0, 0, 0]),
        words(&[1]),
        b"sockstat\0".to_vec(),
        words(&[1, 4]),
        b"abcd".to_vec(),
        words(&[0xffff, 0, 3, 0, 0xff, 0, 1, 0xf, 0]),
        b"usr\0".to_vec(),
        words(&[8]),
        vec![6, 0, 0, 0, 0, 0, 0xff, 0x7f],
    ]
    .concat();
    let two_trees = b"\x0f\0\0\0work\0\x0f\0\0\0srv/data\0";
    let (kept, given) = (order([12, 2, NETWORK_KEPT], two_trees), order([12, 2, NETWORK_GIVEN], two_trees));
    let inputs = [order([1, 0, 0], b""), kept, given];
    let whole = |order: &Vec<u8>| {
        let length = u16::try_from(order.len()).expect("short").to_le_bytes();
        [length.as_slice(), order, &mold].concat()
    };
    inputs.iter().map(whole).collect()
}
