import assert from "node:assert/strict";
import test from "node:test";
import { ServerClock } from "../src/state/clock.js";
import { ALL_SAMPLES, History } from "../src/state/history.js";

const sample = (second, rate = 1) => ({ at: new Date(second * 1000).toISOString(), records_per_sec: rate, lag: null, latency_p99_ms: 2, memory_bytes: 3 });
const samples = (...seconds) => ({ samples: seconds.map((second) => sample(second)) });
const seconds = (history) => history.points.map(({ at }) => at / 1000);

test("all_samples_are_asked_for_first_and_after_a_pause", () => {
  const history = new History();
  assert.equal(history.wanted(0), ALL_SAMPLES);
  history.add(samples(1, 2, 3), 0);
  assert.equal(history.wanted(1_000), 5);
  assert.equal(history.wanted(60_000), ALL_SAMPLES);
});

test("samples_that_overlap_are_taken_once_and_old_ones_are_dropped", () => {
  const history = new History();
  history.add(samples(1, 2, 3), 0);
  history.add(samples(2, 3, 4), 1_000);
  assert.deepEqual(seconds(history), [1, 2, 3, 4]);
  history.add(samples(603, 604), 2_000);
  assert.deepEqual(seconds(history), [4, 603, 604]);
});

test("samples_from_before_a_restart_stay_and_a_clock_put_back_drops_the_future", () => {
  const history = new History();
  history.add(samples(1, 2, 3), 0);
  history.add({ samples: [] }, 1_000);
  history.add(samples(30), 2_000);
  assert.deepEqual(seconds(history), [1, 2, 3, 30]);
  history.add(samples(10, 11), 3_000);
  assert.deepEqual(seconds(history), [1, 2, 3, 10, 11]);
});

test("rate_is_the_average_since_it_is_known_again", () => {
  const history = new History();
  assert.equal(history.rate(), null);
  history.add({ samples: [sample(1, 90), sample(2, null), sample(3, 10), sample(4, 20)] }, 0);
  assert.equal(history.rate(), 15);
  history.add({ samples: [sample(5, null)] }, 0);
  assert.equal(history.rate(), null);
});

test("ages_are_measured_by_the_clock_of_the_server", () => {
  const server = new ServerClock();
  assert.deepEqual([server.now(0), server.age("2026-01-01T00:00:00Z", 0)], [null, null]);
  server.set("2026-01-01T00:00:10Z", 500);
  assert.equal(server.age("2026-01-01T00:00:06Z", 500), 4_000);
  assert.equal(server.age("2026-01-01T00:00:06Z", 1_500), 5_000);
  assert.equal(server.age("2026-01-01T00:00:20Z", 500), 0);
  assert.equal(server.age(null, 500), null);
});
