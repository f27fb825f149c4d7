//! Whatever arrives: honest transfers come through, everything else fails cleanly and within the caps.

use bytes::Bytes;
use proptest::prelude::*;
use wire::identity::{DeviceId, Digest, RunId};
use wire::{
    Assembler, Blob, CHUNK_BYTES, Chunk, Float32Array, Kind, Limits, MAX_MESSAGE_BYTES, Message, Millis,
    ModelContent, Outgoing, Progress, Receipt, Refusal, Telemetry, Throttling, TransferId, UpdateContent,
    content_limit, decode, encode,
};

const LIMITS: Limits =
    Limits { max_transfer_bytes: 1 << 20, max_sender_bytes: 5 << 10, max_total_bytes: 8 << 10 };

fn decode_as_everything(bytes: &[u8]) {
    let _ = Message::decode(&Bytes::copy_from_slice(bytes));
    let _ = decode::<UpdateContent>(bytes, MAX_MESSAGE_BYTES);
    let _ = decode::<ModelContent>(bytes, MAX_MESSAGE_BYTES);
}

/// The update of one device in one round, which is 4 KiB of the round's number.
fn transfer_id(device: u32, round: u32) -> TransferId {
    let blake3 = Digest::blake3(&[round as u8; 4096]);
    TransferId { run: RunId(1), round, kind: Kind::Update, device: Some(DeviceId(device)), blake3 }
}

fn any_telemetry() -> impl Strategy<Value = Telemetry> {
    let parts = any::<(Option<u32>, Option<i16>, Option<u32>, Option<u16>, Option<u64>)>();
    parts.prop_map(|(rss_kib, temperature, flags, clock, energy)| Telemetry {
        rss_kib,
        temperature,
        throttled: flags.map(Throttling),
        clock,
        energy,
    })
}

fn any_valid_bytes() -> impl Strategy<Value = Vec<u8>> {
    let chunk = (any::<[u32; 4]>(), prop::collection::vec(any::<u8>(), 0..64)).prop_map(
        |([device, size, count, index], data)| {
            let id = transfer_id(device, 9);
            Message::Chunk(Chunk { id, size, count, index, data: data.into() }).encode().unwrap().to_vec()
        },
    );
    let receipt = any::<bool>().prop_map(|late| {
        let refused = late.then_some(Refusal::Late);
        encode(&Message::<Blob>::Receipt(Receipt { id: transfer_id(1, 2), refused })).unwrap()
    });
    let parts = (prop::collection::vec(any::<f32>(), 0..16), any::<f32>(), any::<u64>(), any_telemetry());
    let update = parts.prop_map(|(parameters, loss, train_us, telemetry)| {
        let parameters = Float32Array(parameters.into());
        UpdateContent { parameters, loss, train_us, telemetry }.encode().to_vec()
    });
    prop_oneof![chunk, receipt, update]
}

/// Chunks of a few small transfers; most fit together, some lie about their shape or carry other bytes.
fn any_chunk() -> impl Strategy<Value = (u32, Chunk)> {
    let shape = prop_oneof![9 => Just([4096, 4]), 1 => any::<[u32; 2]>()];
    let forged = prop::bool::weighted(0.05);
    (0..3_u32, 0..3_u32, 0..4_u32, shape, forged).prop_map(|(device, round, index, [size, count], forged)| {
        let byte = if forged { 0xff } else { round as u8 };
        (device, Chunk { id: transfer_id(device, round), size, count, index, data: vec![byte; 1024].into() })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        decode_as_everything(&bytes);
    }

    #[test]
    fn mutated_messages_never_panic(
        mut bytes in any_valid_bytes(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        decode_as_everything(&bytes);
    }

    #[test]
    fn a_truncated_message_is_refused(bytes in any_valid_bytes(), cut in any::<prop::sample::Index>()) {
        let bytes = &bytes[..cut.index(bytes.len())];
        prop_assert!(Message::decode(&Bytes::copy_from_slice(bytes)).is_err());
        prop_assert!(decode::<UpdateContent>(bytes, MAX_MESSAGE_BYTES).is_err());
    }

    #[test]
    fn chunks_survive_the_wire(parts in any::<[u32; 5]>(), data in prop::collection::vec(any::<u8>(), 0..99)) {
        let [device, round, size, count, index] = parts;
        let message =
            Message::Chunk(Chunk { id: transfer_id(device, round), size, count, index, data: data.into() });
        prop_assert_eq!(Message::decode(&message.encode().unwrap()), Ok(message));
    }

    #[test]
    fn parameters_survive_bit_by_bit(bits in prop::collection::vec(any::<u32>(), 0..99)) {
        let sent = ModelContent { parameters: Float32Array(bits.iter().copied().map(f32::from_bits).collect()) };
        let back: ModelContent = decode(&sent.encode(), MAX_MESSAGE_BYTES).unwrap();
        prop_assert_eq!(back.parameters.0.iter().copied().map(f32::to_bits).collect::<Vec<_>>(), bits);
    }

    #[test]
    fn telemetry_survives_the_wire(telemetry in any_telemetry()) {
        prop_assert_eq!(decode(&encode(&telemetry).unwrap(), MAX_MESSAGE_BYTES), Ok(telemetry));
    }

    #[test]
    fn hostile_chunks_stay_within_the_caps(chunks in prop::collection::vec(any_chunk(), 0..60)) {
        let mut assembler = Assembler::new(LIMITS);
        for (now, (device, chunk)) in (0..).zip(chunks) {
            let id = chunk.id;
            let progress = assembler.accept(Millis(now), Some(DeviceId(device)), chunk);
            if let Ok(Progress::Complete(content)) = progress {
                prop_assert_eq!(Digest::blake3(&content), id.blake3);
            }
            prop_assert!(assembler.held_bytes() <= LIMITS.max_total_bytes);
            let shares = [0, 1, 2].map(|device| assembler.held_bytes_of(Some(DeviceId(device))));
            prop_assert!(shares.iter().all(|&share| share <= LIMITS.max_sender_bytes));
            prop_assert_eq!(shares.iter().sum::<usize>(), assembler.held_bytes());
        }
        assembler.forget_rounds_before(u32::MAX);
        prop_assert_eq!(assembler.held_bytes(), 0);
    }
}

proptest! {
    // Fewer cases: each hashes and copies some hundred KiB.
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn split_shuffled_and_repeated_content_comes_back_once(
        size in 0..5 * CHUNK_BYTES as usize,
        salt in any::<u8>(),
        order in Just([0, 0, 1, 1, 1, 2, 3, 3, 4, 4].to_vec()).prop_shuffle(),
    ) {
        let content: Vec<u8> = (0..size).map(|i| (i as u8).wrapping_mul(31) ^ salt).collect();
        let outgoing = Outgoing::new(RunId(1), 2, Kind::Model, None, content.clone());
        let limits = Limits { max_transfer_bytes: size, max_sender_bytes: size, max_total_bytes: size };
        let mut assembler = Assembler::new(limits);
        let mut arrived = Vec::new();
        for chunk in order.into_iter().filter_map(|index| outgoing.chunk(index)) {
            let payload = Message::Chunk(chunk).encode().unwrap();
            let Ok(Message::Chunk(chunk)) = Message::decode(&payload) else { panic!("not the chunk sent") };
            if let Progress::Complete(content) = assembler.accept(Millis(0), None, chunk).unwrap() {
                arrived.push(content);
            }
        }
        prop_assert_eq!(arrived, [Blob::from(content)]);
    }
}

#[test]
fn an_update_costs_at_most_two_thousandths_more_than_its_parameters() {
    // A CNN of d = 266,060, with round, device and measurements as long as they get in practice.
    let dimension = 266_060;
    let parameters = Float32Array(vec![0.1; dimension].into());
    let telemetry = Telemetry {
        rss_kib: Some(1 << 20),
        temperature: Some(853),
        throttled: Some(Throttling(0xf_000f)),
        clock: Some(2400),
        energy: Some(100_000_000_000),
    };
    let content = UpdateContent { parameters, loss: 0.1, train_us: 3_600_000_000, telemetry }.encode();
    assert!(content.len() <= content_limit(dimension), "{} bytes", content.len());
    let outgoing = Outgoing::new(RunId(u64::MAX), 65_535, Kind::Update, Some(DeviceId(65_535)), content);
    let sent: usize = outgoing.chunks().map(|chunk| Message::Chunk(chunk).encode().unwrap().len()).sum();
    let cost = sent as f64 / (4 * dimension) as f64;
    assert!(cost <= 1.002, "{sent} bytes, {cost} times the parameters");
}
