//! The throughput of the Delta sink in rows/s, by step and compression. `cargo bench --bench delta [PINS]`
//!
//! Prints figures without assertions.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and stops where it cannot go on")]

use std::time::Instant;

use pinflow_connect::sink::{PartitionReached, RowEncoder, StoredChunk, Window};
use pinflow_core::position::{PartitionProgress, ResumeHint};
use pinflow_dataflows::graph::DuplicatePolicy;
use pinflow_dataflows::ingest::{RowSink, StreamHint};
use pinflow_dataflows::questions::ReadColumns;
use pinflow_dataflows::record::{Geo, Lineage, Pin, Stream, User};
use pinflow_dataflows::rejection::Rejection;
use pinflow_dataflows::symbol::Symbol;
use pinflow_delta::{Compression, DeltaEncoder, DeltaTables, EncodedBatches, Table, TablesSettings};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const WINDOW_ROWS: u64 = 100_000;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Texts with the lengths of real pins, created before the measurement.
struct TextPool {
    texts: Vec<[String; 5]>,
    posters: Vec<String>,
}

impl TextPool {
    fn new() -> TextPool {
        let mut rng = StdRng::seed_from_u64(7);
        let words: Vec<String> = (0..5_000)
            .map(|_| (0..rng.random_range(2..10)).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect())
            .collect();
        let mut text = |bytes: usize, between: char| {
            let mut text = String::new();
            while text.len() < bytes {
                text.push_str(&words[rng.random_range(0..words.len())]);
                text.push(between);
            }
            text
        };
        let mut texts = Vec::new();
        for _ in 0..20_000 {
            let id = uuid::Uuid::new_v4();
            let image = format!("https://i.example.com/originals/{}.jpg", id.simple());
            texts.push([id.to_string(), text(50, ' '), text(170, ' '), text(110, ','), image]);
        }
        let posters = (0..3_000).map(|_| text(14, ' ')).collect();
        TextPool { texts, posters }
    }

    fn pin(&self, rows: &mut dyn RowSink, ind: u64, source: Symbol) {
        let mix = ind.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let [id, title, description, tags, image] = &self.texts[(mix % self.texts.len() as u64) as usize];
        let pin = Pin {
            ind,
            unique_id: Some(id.into()),
            title: Some(title.into()),
            description: Some(description.into()),
            follower_count: Some((mix % 900) as i64 * 1_000),
            poster_name: Some((&self.posters[(mix % self.posters.len() as u64) as usize]).into()),
            tag_list: Some(tags.into()),
            is_image_or_video: Some("image".into()),
            image_src: Some(image.into()),
            save_location: Some("/data/diy-and-crafts".into()),
            category: Some("diy-and-crafts".into()),
        };
        rows.pin(Lineage { arrived_at: None, source, position: (ind + 1).into(), sub: 0 }, &pin);
    }
}

#[derive(Default)]
struct SumColumn(u64);

impl RowSink for SumColumn {
    fn pin(&mut self, lineage: Lineage, row: &Pin<'_>) {
        self.0 += lineage.position.narrow().unwrap_or(0)
            + row.ind
            + row.category.as_ref().map_or(0, |text| text.len() as u64);
    }
    fn geo(&mut self, _: Lineage, _: &Geo<'_>) {}
    fn user(&mut self, _: Lineage, _: &User<'_>) {}
    fn rejected(&mut self, _: Lineage, _: Option<Stream>, _: &Rejection, _: &[u8]) {}
}

fn encode(encoder: &mut DeltaEncoder, texts: &TextPool, window: u64) -> EncodedBatches {
    let source = Symbol::new("recording/pin.jsonl");
    (window * WINDOW_ROWS..(window + 1) * WINDOW_ROWS).for_each(|ind| texts.pin(encoder, ind, source));
    encoder.cut()
}

/// Processor time of all threads of this process, in seconds.
fn cpu_secs() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // User and system time in hundredths of a second. Fields are counted after the name, which may contain spaces.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// Wall and processor seconds of a step, summed.
#[derive(Default)]
struct CpuTimes {
    wall: f64,
    cpu: f64,
}

impl CpuTimes {
    async fn on<T>(&mut self, step: impl Future<Output = T>) -> T {
        let (start, cpu) = (Instant::now(), cpu_secs());
        let done = step.await;
        self.wall += start.elapsed().as_secs_f64();
        self.cpu += cpu_secs() - cpu;
        done
    }

    fn rate(&self, rows: f64) -> String {
        format!("{:.2} M rows/s ({:.2} M a core)", rows / self.wall / 1e6, rows / self.cpu / 1e6)
    }
}

fn window(batches: EncodedBatches, epoch: u64) -> Window<EncodedBatches> {
    let next = (epoch + 1) * WINDOW_ROWS + 1;
    let reached = PartitionReached {
        key: "recording/pin.jsonl".to_owned(),
        source: "recording/pin.jsonl".to_owned(),
        stream_hint: StreamHint::Only(Stream::Pin),
        reached: PartitionProgress {
            next: next.into(),
            rows: next - 1,
            fingerprint: 1,
            hint: ResumeHint::ByteOffset(next),
        },
    };
    Window { epoch, cut_at: Instant::now(), rows: 0, batches: vec![batches], reached: vec![reached], files: Vec::new() }
}

fn main() {
    let pins = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000_u64);
    let windows = pins.div_ceil(WINDOW_ROWS);
    let rows = (windows * WINDOW_ROWS) as f64;
    let texts = TextPool::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for compression in [Compression::Snappy, Compression::Zstd] {
        let root = tempfile::tempdir().unwrap();
        let settings =
            TablesSettings { compression, ..TablesSettings::new(root.path().to_owned(), "bench".to_owned()) };
        runtime.block_on(async {
            let (mut tables, _) = DeltaTables::open(settings.clone()).await.unwrap();
            let mut encoder = tables.encoder();
            let (mut encoding, mut committing, mut opening, mut reading) = Default::default();
            let mut held = 0;
            for epoch in 0..windows {
                let batches = CpuTimes::on(&mut encoding, async { encode(&mut encoder, &texts, epoch) }).await;
                held += batches.bytes();
                CpuTimes::on(&mut committing, tables.commit(window(batches, epoch))).await.unwrap();
            }
            tables.finish().await.unwrap();
            let (tables, resume) = CpuTimes::on(&mut opening, DeltaTables::open(settings)).await.unwrap();
            let mut sum = SumColumn::default();
            let read = CpuTimes::on(&mut reading, async {
                let (mut chunks, mut read) = (tables.read_back(DuplicatePolicy::Keep, &ReadColumns::held()), 0);
                while let Some(chunk) = chunks.recv().await {
                    let chunk = chunk.unwrap();
                    read += chunk.len() as u64;
                    chunk.replay(&mut sum);
                }
                read
            });
            assert_eq!((read.await, resume.rows), (windows * WINDOW_ROWS, windows * WINDOW_ROWS));
            assert!(sum.0 > 0);
            let files = pinflow_delta::inspect(root.path(), 0).await.unwrap();
            let bytes = files.iter().find(|table| table.table == Table::Pin.name()).unwrap().bytes;
            println!("{compression:?}, {pins} pins");
            println!("  encode           {}, {:.0} B a row held", encoding.rate(rows), held as f64 / rows);
            println!("  file and commit  {}, {:.0} B a row", committing.rate(rows), bytes as f64 / rows);
            println!("  open             {:.0} ms", opening.wall * 1e3);
            println!("  read back        {}", reading.rate(rows));
        });
    }
}
