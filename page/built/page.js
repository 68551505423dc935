(() => {
  // src/net/token.js
  var KEY = "pinflow.token";
  function token() {
    try {
      return sessionStorage.getItem(KEY) ?? "";
    } catch {
      return kept;
    }
  }
  function keep(text2) {
    kept = text2;
    try {
      sessionStorage.setItem(KEY, text2);
    } catch {
    }
  }
  var kept = "";

  // src/net/ask.js
  var Refused = class extends Error {
    constructor(status2, message) {
      super(message);
      this.status = status2;
    }
  };
  var PATIENCE_MS = 2e4;
  async function ask(path2, { headers = {}, signal } = {}) {
    const bearer = token();
    const all = bearer ? { ...headers, authorization: `Bearer ${bearer}` } : headers;
    const late2 = AbortSignal.timeout(PATIENCE_MS);
    const response = await fetch(path2, {
      headers: all,
      cache: "no-store",
      credentials: "omit",
      // A stream goes on beyond any patience: its reader watches it.
      signal: signal ?? late2
    });
    if (response.ok) return response;
    const fault = await response.json().catch(() => ({}));
    throw new Refused(response.status, fault.message ?? `the server answers ${response.status}`);
  }
  var askJson = async (path2) => (await ask(path2)).json();

  // src/net/events.js
  async function* events(body, alive) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    try {
      for (; ; ) {
        const { done, value: value2 } = await reader.read();
        if (done) return;
        alive();
        const blocks = (rest + value2).split("\n\n");
        rest = blocks.pop() ?? "";
        for (const block2 of blocks) {
          const event = parse(block2);
          if (event) yield event;
        }
      }
    } finally {
      reader.cancel().catch(() => {
      });
    }
  }
  function parse(block2) {
    const event = { id: null, kind: "message", data: "" };
    for (const line4 of block2.split("\n")) {
      const colon = line4.indexOf(":");
      if (colon === 0) continue;
      const [name, value2] = colon < 0 ? [line4, ""] : [line4.slice(0, colon), line4.slice(colon + 1).replace(/^ /, "")];
      if (name === "id") event.id = value2;
      else if (name === "event") event.kind = value2;
      else if (name === "data") event.data += (event.data && "\n") + value2;
    }
    return event.data ? event : null;
  }

  // src/net/follow.js
  var SILENCE_MS = 4e4;
  var WAIT_MS = 250;
  var WAIT_MAX_MS = 5e3;
  async function follow(to) {
    let [seen, failures] = [null, 0];
    to.state({ kind: "connecting" });
    for (; ; ) {
      try {
        for await (const id of session(to, seen)) [seen, failures] = [id, 0];
        throw new Error("the server has ended the stream");
      } catch (error) {
        if (error instanceof Refused && (error.status === 401 || error.status === 403)) {
          to.state({ kind: "locked", why: error.message });
          await to.unlocked();
          failures = 0;
          continue;
        }
        const waits = error instanceof Refused && error.status === 503;
        if (error instanceof Restart) continue;
        to.state({ kind: waits ? "waiting" : "lost", why: error.message });
      }
      await pause(Math.min(WAIT_MAX_MS, WAIT_MS * 2 ** failures) * (0.5 + Math.random() / 2));
      failures += 1;
    }
  }
  var Restart = class extends Error {
  };
  async function* session(to, seen) {
    const hangUp = new AbortController();
    let watch = 0;
    const alive = () => {
      clearTimeout(watch);
      watch = setTimeout(() => hangUp.abort(new Error("nothing was heard for too long")), SILENCE_MS);
    };
    try {
      alive();
      const headers = { accept: "text/event-stream", ...seen ? { "last-event-id": seen } : {} };
      const response = await ask("/changes", { headers, signal: hangUp.signal });
      to.state({ kind: "live" });
      let open = [];
      for await (const { id, kind, data } of events(response.body, alive)) {
        if (kind === "dropped") throw new Restart();
        open.push({ kind, data: JSON.parse(data) });
        if (id === null) continue;
        to.epoch(open);
        open = [];
        yield id;
      }
    } finally {
      clearTimeout(watch);
      hangUp.abort();
    }
  }
  function pause(milliseconds2) {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        removeEventListener("online", end);
        document.removeEventListener("visibilitychange", end);
        resolve();
      };
      const timer = setTimeout(end, milliseconds2);
      addEventListener("online", end);
      document.addEventListener("visibilitychange", end);
    });
  }

  // src/net/poll.js
  async function poll(every, what) {
    for (; ; ) {
      await what();
      await new Promise((resolve) => setTimeout(resolve, every));
      if (document.hidden) await shown();
    }
  }
  function shown() {
    return new Promise((resolve) => {
      document.addEventListener("visibilitychange", resolve, { once: true });
    });
  }

  // node_modules/d3-array/dist/d3-array.mjs
  function ascending(a2, b) {
    return a2 == null || b == null ? NaN : a2 < b ? -1 : a2 > b ? 1 : a2 >= b ? 0 : NaN;
  }
  function descending(a2, b) {
    return a2 == null || b == null ? NaN : b < a2 ? -1 : b > a2 ? 1 : b >= a2 ? 0 : NaN;
  }
  function bisector(f) {
    let compare1, compare2, delta;
    if (f.length !== 2) {
      compare1 = ascending;
      compare2 = (d, x2) => ascending(f(d), x2);
      delta = (d, x2) => f(d) - x2;
    } else {
      compare1 = f === ascending || f === descending ? f : zero;
      compare2 = f;
      delta = f;
    }
    function left2(a2, x2, lo = 0, hi = a2.length) {
      if (lo < hi) {
        if (compare1(x2, x2) !== 0) return hi;
        do {
          const mid2 = lo + hi >>> 1;
          if (compare2(a2[mid2], x2) < 0) lo = mid2 + 1;
          else hi = mid2;
        } while (lo < hi);
      }
      return lo;
    }
    function right2(a2, x2, lo = 0, hi = a2.length) {
      if (lo < hi) {
        if (compare1(x2, x2) !== 0) return hi;
        do {
          const mid2 = lo + hi >>> 1;
          if (compare2(a2[mid2], x2) <= 0) lo = mid2 + 1;
          else hi = mid2;
        } while (lo < hi);
      }
      return lo;
    }
    function center2(a2, x2, lo = 0, hi = a2.length) {
      const i = left2(a2, x2, lo, hi - 1);
      return i > lo && delta(a2[i - 1], x2) > -delta(a2[i], x2) ? i - 1 : i;
    }
    return { left: left2, center: center2, right: right2 };
  }
  function zero() {
    return 0;
  }
  function number(x2) {
    return x2 === null ? NaN : +x2;
  }
  function* numbers(values2, valueof2) {
    if (valueof2 === void 0) {
      for (let value2 of values2) {
        if (value2 != null && (value2 = +value2) >= value2) {
          yield value2;
        }
      }
    } else {
      let index2 = -1;
      for (let value2 of values2) {
        if ((value2 = valueof2(value2, ++index2, values2)) != null && (value2 = +value2) >= value2) {
          yield value2;
        }
      }
    }
  }
  var ascendingBisect = bisector(ascending);
  var bisectRight = ascendingBisect.right;
  var bisectLeft = ascendingBisect.left;
  var bisectCenter = bisector(number).center;
  var blur2 = Blur2(blurf);
  var blurImage = Blur2(blurfImage);
  function Blur2(blur) {
    return function(data, rx, ry = rx) {
      if (!((rx = +rx) >= 0)) throw new RangeError("invalid rx");
      if (!((ry = +ry) >= 0)) throw new RangeError("invalid ry");
      let { data: values2, width, height } = data;
      if (!((width = Math.floor(width)) >= 0)) throw new RangeError("invalid width");
      if (!((height = Math.floor(height !== void 0 ? height : values2.length / width)) >= 0)) throw new RangeError("invalid height");
      if (!width || !height || !rx && !ry) return data;
      const blurx = rx && blur(rx);
      const blury = ry && blur(ry);
      const temp = values2.slice();
      if (blurx && blury) {
        blurh(blurx, temp, values2, width, height);
        blurh(blurx, values2, temp, width, height);
        blurh(blurx, temp, values2, width, height);
        blurv(blury, values2, temp, width, height);
        blurv(blury, temp, values2, width, height);
        blurv(blury, values2, temp, width, height);
      } else if (blurx) {
        blurh(blurx, values2, temp, width, height);
        blurh(blurx, temp, values2, width, height);
        blurh(blurx, values2, temp, width, height);
      } else if (blury) {
        blurv(blury, values2, temp, width, height);
        blurv(blury, temp, values2, width, height);
        blurv(blury, values2, temp, width, height);
      }
      return data;
    };
  }
  function blurh(blur, T2, S2, w, h2) {
    for (let y2 = 0, n = w * h2; y2 < n; ) {
      blur(T2, S2, y2, y2 += w, 1);
    }
  }
  function blurv(blur, T2, S2, w, h2) {
    for (let x2 = 0, n = w * h2; x2 < w; ++x2) {
      blur(T2, S2, x2, x2 + n, w);
    }
  }
  function blurfImage(radius2) {
    const blur = blurf(radius2);
    return (T2, S2, start, stop, step2) => {
      start <<= 2, stop <<= 2, step2 <<= 2;
      blur(T2, S2, start + 0, stop + 0, step2);
      blur(T2, S2, start + 1, stop + 1, step2);
      blur(T2, S2, start + 2, stop + 2, step2);
      blur(T2, S2, start + 3, stop + 3, step2);
    };
  }
  function blurf(radius2) {
    const radius0 = Math.floor(radius2);
    if (radius0 === radius2) return bluri(radius2);
    const t = radius2 - radius0;
    const w = 2 * radius2 + 1;
    return (T2, S2, start, stop, step2) => {
      if (!((stop -= step2) >= start)) return;
      let sum3 = radius0 * S2[start];
      const s0 = step2 * radius0;
      const s1 = s0 + step2;
      for (let i = start, j = start + s0; i < j; i += step2) {
        sum3 += S2[Math.min(stop, i)];
      }
      for (let i = start, j = stop; i <= j; i += step2) {
        sum3 += S2[Math.min(stop, i + s0)];
        T2[i] = (sum3 + t * (S2[Math.max(start, i - s1)] + S2[Math.min(stop, i + s1)])) / w;
        sum3 -= S2[Math.max(start, i - s0)];
      }
    };
  }
  function bluri(radius2) {
    const w = 2 * radius2 + 1;
    return (T2, S2, start, stop, step2) => {
      if (!((stop -= step2) >= start)) return;
      let sum3 = radius2 * S2[start];
      const s3 = step2 * radius2;
      for (let i = start, j = start + s3; i < j; i += step2) {
        sum3 += S2[Math.min(stop, i)];
      }
      for (let i = start, j = stop; i <= j; i += step2) {
        sum3 += S2[Math.min(stop, i + s3)];
        T2[i] = sum3 / w;
        sum3 -= S2[Math.max(start, i - s3)];
      }
    };
  }
  function count(values2, valueof2) {
    let count2 = 0;
    if (valueof2 === void 0) {
      for (let value2 of values2) {
        if (value2 != null && (value2 = +value2) >= value2) {
          ++count2;
        }
      }
    } else {
      let index2 = -1;
      for (let value2 of values2) {
        if ((value2 = valueof2(value2, ++index2, values2)) != null && (value2 = +value2) >= value2) {
          ++count2;
        }
      }
    }
    return count2;
  }
  function length$1(array4) {
    return array4.length | 0;
  }
  function empty(length2) {
    return !(length2 > 0);
  }
  function arrayify(values2) {
    return typeof values2 !== "object" || "length" in values2 ? values2 : Array.from(values2);
  }
  function reducer(reduce) {
    return (values2) => reduce(...values2);
  }
  function cross(...values2) {
    const reduce = typeof values2[values2.length - 1] === "function" && reducer(values2.pop());
    values2 = values2.map(arrayify);
    const lengths = values2.map(length$1);
    const j = values2.length - 1;
    const index2 = new Array(j + 1).fill(0);
    const product = [];
    if (j < 0 || lengths.some(empty)) return product;
    while (true) {
      product.push(index2.map((j2, i2) => values2[i2][j2]));
      let i = j;
      while (++index2[i] === lengths[i]) {
        if (i === 0) return reduce ? product.map(reduce) : product;
        index2[i--] = 0;
      }
    }
  }
  function cumsum(values2, valueof2) {
    var sum3 = 0, index2 = 0;
    return Float64Array.from(values2, valueof2 === void 0 ? (v) => sum3 += +v || 0 : (v) => sum3 += +valueof2(v, index2++, values2) || 0);
  }
  function variance(values2, valueof2) {
    let count2 = 0;
    let delta;
    let mean2 = 0;
    let sum3 = 0;
    if (valueof2 === void 0) {
      for (let value2 of values2) {
        if (value2 != null && (value2 = +value2) >= value2) {
          delta = value2 - mean2;
          mean2 += delta / ++count2;
          sum3 += delta * (value2 - mean2);
        }
      }
    } else {
      let index2 = -1;
      for (let value2 of values2) {
        if ((value2 = valueof2(value2, ++index2, values2)) != null && (value2 = +value2) >= value2) {
          delta = value2 - mean2;
          mean2 += delta / ++count2;
          sum3 += delta * (value2 - mean2);
        }
      }
    }
    if (count2 > 1) return sum3 / (count2 - 1);
  }
  function deviation(values2, valueof2) {
    const v = variance(values2, valueof2);
    return v ? Math.sqrt(v) : v;
  }
  function extent(values2, valueof2) {
    let min3;
    let max2;
    if (valueof2 === void 0) {
      for (const value2 of values2) {
        if (value2 != null) {
          if (min3 === void 0) {
            if (value2 >= value2) min3 = max2 = value2;
          } else {
            if (min3 > value2) min3 = value2;
            if (max2 < value2) max2 = value2;
          }
        }
      }
    } else {
      let index2 = -1;
      for (let value2 of values2) {
        if ((value2 = valueof2(value2, ++index2, values2)) != null) {
          if (min3 === void 0) {
            if (value2 >= value2) min3 = max2 = value2;
          } else {
            if (min3 > value2) min3 = value2;
            if (max2 < value2) max2 = value2;
          }
        }
      }
    }
    return [min3, max2];
  }
  var Adder = class {
    constructor() {
      this._partials = new Float64Array(32);
      this._n = 0;
    }
    add(x2) {
      const p = this._partials;
      let i = 0;
      for (let j = 0; j < this._n && j < 32; j++) {
        const y2 = p[j], hi = x2 + y2, lo = Math.abs(x2) < Math.abs(y2) ? x2 - (hi - y2) : y2 - (hi - x2);
        if (lo) p[i++] = lo;
        x2 = hi;
      }
      p[i] = x2;
      this._n = i + 1;
      return this;
    }
    valueOf() {
      const p = this._partials;
      let n = this._n, x2, y2, lo, hi = 0;
      if (n > 0) {
        hi = p[--n];
        while (n > 0) {
          x2 = hi;
          y2 = p[--n];
          hi = x2 + y2;
          lo = y2 - (hi - x2);
          if (lo) break;
        }
        if (n > 0 && (lo < 0 && p[n - 1] < 0 || lo > 0 && p[n - 1] > 0)) {
          y2 = lo * 2;
          x2 = hi + y2;
          if (y2 == x2 - hi) hi = x2;
        }
      }
      return hi;
    }
  };
  var InternMap = class extends Map {
    constructor(entries, key = keyof) {
      super();
      Object.defineProperties(this, { _intern: { value: /* @__PURE__ */ new Map() }, _key: { value: key } });
      if (entries != null) for (const [key2, value2] of entries) this.set(key2, value2);
    }
    get(key) {
      return super.get(intern_get(this, key));
    }
    has(key) {
      return super.has(intern_get(this, key));
    }
    set(key, value2) {
      return super.set(intern_set(this, key), value2);
    }
    delete(key) {
      return super.delete(intern_delete(this, key));
    }
  };
  var InternSet = class extends Set {
    constructor(values2, key = keyof) {
      super();
      Object.defineProperties(this, { _intern: { value: /* @__PURE__ */ new Map() }, _key: { value: key } });
      if (values2 != null) for (const value2 of values2) this.add(value2);
    }
    has(value2) {
      return super.has(intern_get(this, value2));
    }
    add(value2) {
      return super.add(intern_set(this, value2));
    }
    delete(value2) {
      return super.delete(intern_delete(this, value2));
    }
  };
  function intern_get({ _intern, _key }, value2) {
    const key = _key(value2);
    return _intern.has(key) ? _intern.get(key) : value2;
  }
  function intern_set({ _intern, _key }, value2) {
    const key = _key(value2);
    if (_intern.has(key)) return _intern.get(key);
    _intern.set(key, value2);
    return value2;
  }
  function intern_delete({ _intern, _key }, value2) {
    const key = _key(value2);
    if (_intern.has(key)) {
      value2 = _intern.get(key);
      _intern.delete(key);
    }
    return value2;
  }
  function keyof(value2) {
    return value2 !== null && typeof value2 === "object" ? value2.valueOf() : value2;
  }
  function identity(x2) {
    return x2;
  }
  function group(values2, ...keys) {
    return nest(values2, identity, identity, keys);
  }
  function rollup(values2, reduce, ...keys) {
    return nest(values2, identity, reduce, keys);
  }
  function rollups(values2, reduce, ...keys) {
    return nest(values2, Array.from, reduce, keys);
  }
  function nest(values2, map3, reduce, keys) {
    return (function regroup(values3, i) {
      if (i >= keys.length) return reduce(values3);
      const groups = new InternMap();
      const keyof3 = keys[i++];
      let index2 = -1;
      for (const value2 of values3) {
        const key = keyof3(value2, ++index2, values3);
        const group2 = groups.get(key);
        if (group2) group2.push(value2);
        else groups.set(key, [value2]);
      }
      for (const [key, values4] of groups) {
        groups.set(key, regroup(values4, i));
      }
      return map3(groups);
    })(values2, 0);
  }
  function permute(source, keys) {
    return Array.from(keys, (key) => source[key]);
  }
  function sort(values2, ...F) {
    if (typeof values2[Symbol.iterator] !== "function") throw new TypeError("values is not iterable");
    values2 = Array.from(values2);
    let [f] = F;
    if (f && f.length !== 2 || F.length > 1) {
      const index2 = Uint32Array.from(values2, (d, i) => i);
      if (F.length > 1) {
        F = F.map((f2) => values2.map(f2));
        index2.sort((i, j) => {
          for (const f2 of F) {
            const c3 = ascendingDefined(f2[i], f2[j]);
            if (c3) return c3;
          }
        });
      } else {
        f = values2.map(f);
        index2.sort((i, j) => ascendingDefined(f[i], f[j]));
      }
      return permute(values2, index2);
    }
    return values2.sort(compareDefined(f));
  }
  function compareDefined(compare2 = ascending) {
    if (compare2 === ascending) return ascendingDefined;
    if (typeof compare2 !== "function") throw new TypeError("compare is not a function");
    return (a2, b) => {
      const x2 = compare2(a2, b);
      if (x2 || x2 === 0) return x2;
      return (compare2(b, b) === 0) - (compare2(a2, a2) === 0);
    };
  }
  function ascendingDefined(a2, b) {
    return (a2 == null || !(a2 >= a2)) - (b == null || !(b >= b)) || (a2 < b ? -1 : a2 > b ? 1 : 0);
  }
  function groupSort(values2, reduce, key) {
    return (reduce.length !== 2 ? sort(rollup(values2, reduce, key), (([ak, av], [bk, bv]) => ascending(av, bv) || ascending(ak, bk))) : sort(group(values2, key), (([ak, av], [bk, bv]) => reduce(av, bv) || ascending(ak, bk)))).map(([key2]) => key2);
  }
  var array = Array.prototype;
  var slice = array.slice;
  var e10 = Math.sqrt(50);
  var e5 = Math.sqrt(10);
  var e2 = Math.sqrt(2);
  function tickSpec(start, stop, count2) {
    const step2 = (stop - start) / Math.max(0, count2), power = Math.floor(Math.log10(step2)), error = step2 / Math.pow(10, power), factor = error >= e10 ? 10 : error >= e5 ? 5 : error >= e2 ? 2 : 1;
    let i1, i2, inc;
    if (power < 0) {
      inc = Math.pow(10, -power) / factor;
      i1 = Math.round(start * inc);
      i2 = Math.round(stop * inc);
      if (i1 / inc < start) ++i1;
      if (i2 / inc > stop) --i2;
      inc = -inc;
    } else {
      inc = Math.pow(10, power) * factor;
      i1 = Math.round(start / inc);
      i2 = Math.round(stop / inc);
      if (i1 * inc < start) ++i1;
      if (i2 * inc > stop) --i2;
    }
    if (i2 < i1 && 0.5 <= count2 && count2 < 2) return tickSpec(start, stop, count2 * 2);
    return [i1, i2, inc];
  }
  function ticks(start, stop, count2) {
    stop = +stop, start = +start, count2 = +count2;
    if (!(count2 > 0)) return [];
    if (start === stop) return [start];
    const reverse2 = stop < start, [i1, i2, inc] = reverse2 ? tickSpec(stop, start, count2) : tickSpec(start, stop, count2);
    if (!(i2 >= i1)) return [];
    const n = i2 - i1 + 1, ticks2 = new Array(n);
    if (reverse2) {
      if (inc < 0) for (let i = 0; i < n; ++i) ticks2[i] = (i2 - i) / -inc;
      else for (let i = 0; i < n; ++i) ticks2[i] = (i2 - i) * inc;
    } else {
      if (inc < 0) for (let i = 0; i < n; ++i) ticks2[i] = (i1 + i) / -inc;
      else for (let i = 0; i < n; ++i) ticks2[i] = (i1 + i) * inc;
    }
    return ticks2;
  }
  function tickIncrement(start, stop, count2) {
    stop = +stop, start = +start, count2 = +count2;
    return tickSpec(start, stop, count2)[2];
  }
  function tickStep(start, stop, count2) {
    stop = +stop, start = +start, count2 = +count2;
    const reverse2 = stop < start, inc = reverse2 ? tickIncrement(stop, start, count2) : tickIncrement(start, stop, count2);
    return (reverse2 ? -1 : 1) * (inc < 0 ? 1 / -inc : inc);
  }
  function thresholdSturges(values2) {
    return Math.max(1, Math.ceil(Math.log(count(values2)) / Math.LN2) + 1);
  }
  function max(values2, valueof2) {
    let max2;
    if (valueof2 === void 0) {
      for (const value2 of values2) {
        if (value2 != null && (max2 < value2 || max2 === void 0 && value2 >= value2)) {
          max2 = value2;
        }
      }
    } else {
      let index2 = -1;
      for (let value2 of values2) {
        if ((value2 = valueof2(value2, ++index2, values2)) != null && (max2 < value2 || max2 === void 0 && value2 >= value2)) {
          max2 = value2;
        }
      }
    }
    return max2;
  }
  function maxIndex(values2, valueof2) {
    let max2;
    let maxIndex2 = -1;
    let index2 = -1;
    if (valueof2 === void 0) {
      for (const value2 of values2) {
        ++index2;
        if (value2 != null && (max2 < value2 || max2 === void 0 && value2 >= value2)) {
          max2 = value2, maxIndex2 = index2;
        }
      }
    } else {
      for (let value2 of values2) {
        if ((value2 = valueof2(value2, ++index2, values2)) != null && (max2 < value2 || max2 === void 0 && value2 >= value2)) {
          max2 = value2, maxIndex2 = index2;
        }
      }
    }
    return maxIndex2;
  }
  function min(values2, valueof2) {
    let min3;
    if (valueof2 === void 0) {
      for (const value2 of values2) {
        if (value2 != null && (min3 > value2 || min3 === void 0 && value2 >= value2)) {
          min3 = value2;
        }
      }
    } else {
      let index2 = -1;
      for (let value2 of values2) {
        if ((value2 = valueof2(value2, ++index2, values2)) != null && (min3 > value2 || min3 === void 0 && value2 >= value2)) {
          min3 = value2;
        }
      }
    }
    return min3;
  }
  function minIndex(values2, valueof2) {
    let min3;
    let minIndex2 = -1;
    let index2 = -1;
    if (valueof2 === void 0) {
      for (const value2 of values2) {
        ++index2;
        if (value2 != null && (min3 > value2 || min3 === void 0 && value2 >= value2)) {
          min3 = value2, minIndex2 = index2;
        }
      }
    } else {
      for (let value2 of values2) {
        if ((value2 = valueof2(value2, ++index2, values2)) != null && (min3 > value2 || min3 === void 0 && value2 >= value2)) {
          min3 = value2, minIndex2 = index2;
        }
      }
    }
    return minIndex2;
  }
  function quickselect(array4, k2, left2 = 0, right2 = Infinity, compare2) {
    k2 = Math.floor(k2);
    left2 = Math.floor(Math.max(0, left2));
    right2 = Math.floor(Math.min(array4.length - 1, right2));
    if (!(left2 <= k2 && k2 <= right2)) return array4;
    compare2 = compare2 === void 0 ? ascendingDefined : compareDefined(compare2);
    while (right2 > left2) {
      if (right2 - left2 > 600) {
        const n = right2 - left2 + 1;
        const m = k2 - left2 + 1;
        const z2 = Math.log(n);
        const s3 = 0.5 * Math.exp(2 * z2 / 3);
        const sd = 0.5 * Math.sqrt(z2 * s3 * (n - s3) / n) * (m - n / 2 < 0 ? -1 : 1);
        const newLeft = Math.max(left2, Math.floor(k2 - m * s3 / n + sd));
        const newRight = Math.min(right2, Math.floor(k2 + (n - m) * s3 / n + sd));
        quickselect(array4, k2, newLeft, newRight, compare2);
      }
      const t = array4[k2];
      let i = left2;
      let j = right2;
      swap(array4, left2, k2);
      if (compare2(array4[right2], t) > 0) swap(array4, left2, right2);
      while (i < j) {
        swap(array4, i, j), ++i, --j;
        while (compare2(array4[i], t) < 0) ++i;
        while (compare2(array4[j], t) > 0) --j;
      }
      if (compare2(array4[left2], t) === 0) swap(array4, left2, j);
      else ++j, swap(array4, j, right2);
      if (j <= k2) left2 = j + 1;
      if (k2 <= j) right2 = j - 1;
    }
    return array4;
  }
  function swap(array4, i, j) {
    const t = array4[i];
    array4[i] = array4[j];
    array4[j] = t;
  }
  function greatest(values2, compare2 = ascending) {
    let max2;
    let defined2 = false;
    if (compare2.length === 1) {
      let maxValue;
      for (const element of values2) {
        const value2 = compare2(element);
        if (defined2 ? ascending(value2, maxValue) > 0 : ascending(value2, value2) === 0) {
          max2 = element;
          maxValue = value2;
          defined2 = true;
        }
      }
    } else {
      for (const value2 of values2) {
        if (defined2 ? compare2(value2, max2) > 0 : compare2(value2, value2) === 0) {
          max2 = value2;
          defined2 = true;
        }
      }
    }
    return max2;
  }
  function quantile(values2, p, valueof2) {
    values2 = Float64Array.from(numbers(values2, valueof2));
    if (!(n = values2.length) || isNaN(p = +p)) return;
    if (p <= 0 || n < 2) return min(values2);
    if (p >= 1) return max(values2);
    var n, i = (n - 1) * p, i0 = Math.floor(i), value0 = max(quickselect(values2, i0).subarray(0, i0 + 1)), value1 = min(values2.subarray(i0 + 1));
    return value0 + (value1 - value0) * (i - i0);
  }
  function quantileSorted(values2, p, valueof2 = number) {
    if (!(n = values2.length) || isNaN(p = +p)) return;
    if (p <= 0 || n < 2) return +valueof2(values2[0], 0, values2);
    if (p >= 1) return +valueof2(values2[n - 1], n - 1, values2);
    var n, i = (n - 1) * p, i0 = Math.floor(i), value0 = +valueof2(values2[i0], i0, values2), value1 = +valueof2(values2[i0 + 1], i0 + 1, values2);
    return value0 + (value1 - value0) * (i - i0);
  }
  function thresholdFreedmanDiaconis(values2, min3, max2) {
    const c3 = count(values2), d = quantile(values2, 0.75) - quantile(values2, 0.25);
    return c3 && d ? Math.ceil((max2 - min3) / (2 * d * Math.pow(c3, -1 / 3))) : 1;
  }
  function thresholdScott(values2, min3, max2) {
    const c3 = count(values2), d = deviation(values2);
    return c3 && d ? Math.ceil((max2 - min3) * Math.cbrt(c3) / (3.49 * d)) : 1;
  }
  function mean(values2, valueof2) {
    let count2 = 0;
    let sum3 = 0;
    if (valueof2 === void 0) {
      for (let value2 of values2) {
        if (value2 != null && (value2 = +value2) >= value2) {
          ++count2, sum3 += value2;
        }
      }
    } else {
      let index2 = -1;
      for (let value2 of values2) {
        if ((value2 = valueof2(value2, ++index2, values2)) != null && (value2 = +value2) >= value2) {
          ++count2, sum3 += value2;
        }
      }
    }
    if (count2) return sum3 / count2;
  }
  function median(values2, valueof2) {
    return quantile(values2, 0.5, valueof2);
  }
  function* flatten(arrays) {
    for (const array4 of arrays) {
      yield* array4;
    }
  }
  function merge(arrays) {
    return Array.from(flatten(arrays));
  }
  function mode(values2, valueof2) {
    const counts = new InternMap();
    if (valueof2 === void 0) {
      for (let value2 of values2) {
        if (value2 != null && value2 >= value2) {
          counts.set(value2, (counts.get(value2) || 0) + 1);
        }
      }
    } else {
      let index2 = -1;
      for (let value2 of values2) {
        if ((value2 = valueof2(value2, ++index2, values2)) != null && value2 >= value2) {
          counts.set(value2, (counts.get(value2) || 0) + 1);
        }
      }
    }
    let modeValue;
    let modeCount = 0;
    for (const [value2, count2] of counts) {
      if (count2 > modeCount) {
        modeCount = count2;
        modeValue = value2;
      }
    }
    return modeValue;
  }
  function pairs(values2, pairof = pair) {
    const pairs3 = [];
    let previous;
    let first2 = false;
    for (const value2 of values2) {
      if (first2) pairs3.push(pairof(previous, value2));
      previous = value2;
      first2 = true;
    }
    return pairs3;
  }
  function pair(a2, b) {
    return [a2, b];
  }
  function range(start, stop, step2) {
    start = +start, stop = +stop, step2 = (n = arguments.length) < 2 ? (stop = start, start = 0, 1) : n < 3 ? 1 : +step2;
    var i = -1, n = Math.max(0, Math.ceil((stop - start) / step2)) | 0, range3 = new Array(n);
    while (++i < n) {
      range3[i] = start + i * step2;
    }
    return range3;
  }
  var shuffle = shuffler(Math.random);
  function shuffler(random) {
    return function shuffle2(array4, i0 = 0, i1 = array4.length) {
      let m = i1 - (i0 = +i0);
      while (m) {
        const i = random() * m-- | 0, t = array4[m + i0];
        array4[m + i0] = array4[i + i0];
        array4[i + i0] = t;
      }
      return array4;
    };
  }
  function sum(values2, valueof2) {
    let sum3 = 0;
    if (valueof2 === void 0) {
      for (let value2 of values2) {
        if (value2 = +value2) {
          sum3 += value2;
        }
      }
    } else {
      let index2 = -1;
      for (let value2 of values2) {
        if (value2 = +valueof2(value2, ++index2, values2)) {
          sum3 += value2;
        }
      }
    }
    return sum3;
  }
  function reverse(values2) {
    if (typeof values2[Symbol.iterator] !== "function") throw new TypeError("values is not iterable");
    return Array.from(values2).reverse();
  }

  // node_modules/d3-axis/dist/d3-axis.mjs
  function identity2(x2) {
    return x2;
  }
  var top = 1;
  var right = 2;
  var bottom = 3;
  var left = 4;
  var epsilon = 1e-6;
  function translateX(x2) {
    return "translate(" + x2 + ",0)";
  }
  function translateY(y2) {
    return "translate(0," + y2 + ")";
  }
  function number2(scale) {
    return (d) => +scale(d);
  }
  function center(scale, offset2) {
    offset2 = Math.max(0, scale.bandwidth() - offset2 * 2) / 2;
    if (scale.round()) offset2 = Math.round(offset2);
    return (d) => +scale(d) + offset2;
  }
  function entering() {
    return !this.__axis;
  }
  function axis(orient, scale) {
    var tickArguments = [], tickValues = null, tickFormat2 = null, tickSizeInner = 6, tickSizeOuter = 6, tickPadding = 3, offset2 = typeof window !== "undefined" && window.devicePixelRatio > 1 ? 0 : 0.5, k2 = orient === top || orient === left ? -1 : 1, x2 = orient === left || orient === right ? "x" : "y", transform2 = orient === top || orient === bottom ? translateX : translateY;
    function axis2(context) {
      var values2 = tickValues == null ? scale.ticks ? scale.ticks.apply(scale, tickArguments) : scale.domain() : tickValues, format3 = tickFormat2 == null ? scale.tickFormat ? scale.tickFormat.apply(scale, tickArguments) : identity2 : tickFormat2, spacing = Math.max(tickSizeInner, 0) + tickPadding, range3 = scale.range(), range0 = +range3[0] + offset2, range1 = +range3[range3.length - 1] + offset2, position3 = (scale.bandwidth ? center : number2)(scale.copy(), offset2), selection2 = context.selection ? context.selection() : context, path2 = selection2.selectAll(".domain").data([null]), tick = selection2.selectAll(".tick").data(values2, scale).order(), tickExit = tick.exit(), tickEnter = tick.enter().append("g").attr("class", "tick"), line4 = tick.select("line"), text2 = tick.select("text");
      path2 = path2.merge(path2.enter().insert("path", ".tick").attr("class", "domain").attr("stroke", "currentColor"));
      tick = tick.merge(tickEnter);
      line4 = line4.merge(tickEnter.append("line").attr("stroke", "currentColor").attr(x2 + "2", k2 * tickSizeInner));
      text2 = text2.merge(tickEnter.append("text").attr("fill", "currentColor").attr(x2, k2 * spacing).attr("dy", orient === top ? "0em" : orient === bottom ? "0.71em" : "0.32em"));
      if (context !== selection2) {
        path2 = path2.transition(context);
        tick = tick.transition(context);
        line4 = line4.transition(context);
        text2 = text2.transition(context);
        tickExit = tickExit.transition(context).attr("opacity", epsilon).attr("transform", function(d) {
          return isFinite(d = position3(d)) ? transform2(d + offset2) : this.getAttribute("transform");
        });
        tickEnter.attr("opacity", epsilon).attr("transform", function(d) {
          var p = this.parentNode.__axis;
          return transform2((p && isFinite(p = p(d)) ? p : position3(d)) + offset2);
        });
      }
      tickExit.remove();
      path2.attr("d", orient === left || orient === right ? tickSizeOuter ? "M" + k2 * tickSizeOuter + "," + range0 + "H" + offset2 + "V" + range1 + "H" + k2 * tickSizeOuter : "M" + offset2 + "," + range0 + "V" + range1 : tickSizeOuter ? "M" + range0 + "," + k2 * tickSizeOuter + "V" + offset2 + "H" + range1 + "V" + k2 * tickSizeOuter : "M" + range0 + "," + offset2 + "H" + range1);
      tick.attr("opacity", 1).attr("transform", function(d) {
        return transform2(position3(d) + offset2);
      });
      line4.attr(x2 + "2", k2 * tickSizeInner);
      text2.attr(x2, k2 * spacing).text(format3);
      selection2.filter(entering).attr("fill", "none").attr("font-size", 10).attr("font-family", "sans-serif").attr("text-anchor", orient === right ? "start" : orient === left ? "end" : "middle");
      selection2.each(function() {
        this.__axis = position3;
      });
    }
    axis2.scale = function(_) {
      return arguments.length ? (scale = _, axis2) : scale;
    };
    axis2.ticks = function() {
      return tickArguments = Array.from(arguments), axis2;
    };
    axis2.tickArguments = function(_) {
      return arguments.length ? (tickArguments = _ == null ? [] : Array.from(_), axis2) : tickArguments.slice();
    };
    axis2.tickValues = function(_) {
      return arguments.length ? (tickValues = _ == null ? null : Array.from(_), axis2) : tickValues && tickValues.slice();
    };
    axis2.tickFormat = function(_) {
      return arguments.length ? (tickFormat2 = _, axis2) : tickFormat2;
    };
    axis2.tickSize = function(_) {
      return arguments.length ? (tickSizeInner = tickSizeOuter = +_, axis2) : tickSizeInner;
    };
    axis2.tickSizeInner = function(_) {
      return arguments.length ? (tickSizeInner = +_, axis2) : tickSizeInner;
    };
    axis2.tickSizeOuter = function(_) {
      return arguments.length ? (tickSizeOuter = +_, axis2) : tickSizeOuter;
    };
    axis2.tickPadding = function(_) {
      return arguments.length ? (tickPadding = +_, axis2) : tickPadding;
    };
    axis2.offset = function(_) {
      return arguments.length ? (offset2 = +_, axis2) : offset2;
    };
    return axis2;
  }
  function axisBottom(scale) {
    return axis(bottom, scale);
  }

  // node_modules/d3-selection/dist/d3-selection.mjs
  var xhtml = "http://www.w3.org/1999/xhtml";
  var namespaces = {
    svg: "http://www.w3.org/2000/svg",
    xhtml,
    xlink: "http://www.w3.org/1999/xlink",
    xml: "http://www.w3.org/XML/1998/namespace",
    xmlns: "http://www.w3.org/2000/xmlns/"
  };
  function namespace(name) {
    var prefix = name += "", i = prefix.indexOf(":");
    if (i >= 0 && (prefix = name.slice(0, i)) !== "xmlns") name = name.slice(i + 1);
    return namespaces.hasOwnProperty(prefix) ? { space: namespaces[prefix], local: name } : name;
  }
  function creatorInherit(name) {
    return function() {
      var document2 = this.ownerDocument, uri = this.namespaceURI;
      return uri === xhtml && document2.documentElement.namespaceURI === xhtml ? document2.createElement(name) : document2.createElementNS(uri, name);
    };
  }
  function creatorFixed(fullname) {
    return function() {
      return this.ownerDocument.createElementNS(fullname.space, fullname.local);
    };
  }
  function creator(name) {
    var fullname = namespace(name);
    return (fullname.local ? creatorFixed : creatorInherit)(fullname);
  }
  function none() {
  }
  function selector(selector2) {
    return selector2 == null ? none : function() {
      return this.querySelector(selector2);
    };
  }
  function selection_select(select2) {
    if (typeof select2 !== "function") select2 = selector(select2);
    for (var groups = this._groups, m = groups.length, subgroups = new Array(m), j = 0; j < m; ++j) {
      for (var group2 = groups[j], n = group2.length, subgroup = subgroups[j] = new Array(n), node2, subnode, i = 0; i < n; ++i) {
        if ((node2 = group2[i]) && (subnode = select2.call(node2, node2.__data__, i, group2))) {
          if ("__data__" in node2) subnode.__data__ = node2.__data__;
          subgroup[i] = subnode;
        }
      }
    }
    return new Selection(subgroups, this._parents);
  }
  function array2(x2) {
    return x2 == null ? [] : Array.isArray(x2) ? x2 : Array.from(x2);
  }
  function empty2() {
    return [];
  }
  function selectorAll(selector2) {
    return selector2 == null ? empty2 : function() {
      return this.querySelectorAll(selector2);
    };
  }
  function arrayAll(select2) {
    return function() {
      return array2(select2.apply(this, arguments));
    };
  }
  function selection_selectAll(select2) {
    if (typeof select2 === "function") select2 = arrayAll(select2);
    else select2 = selectorAll(select2);
    for (var groups = this._groups, m = groups.length, subgroups = [], parents = [], j = 0; j < m; ++j) {
      for (var group2 = groups[j], n = group2.length, node2, i = 0; i < n; ++i) {
        if (node2 = group2[i]) {
          subgroups.push(select2.call(node2, node2.__data__, i, group2));
          parents.push(node2);
        }
      }
    }
    return new Selection(subgroups, parents);
  }
  function matcher(selector2) {
    return function() {
      return this.matches(selector2);
    };
  }
  function childMatcher(selector2) {
    return function(node2) {
      return node2.matches(selector2);
    };
  }
  var find = Array.prototype.find;
  function childFind(match) {
    return function() {
      return find.call(this.children, match);
    };
  }
  function childFirst() {
    return this.firstElementChild;
  }
  function selection_selectChild(match) {
    return this.select(match == null ? childFirst : childFind(typeof match === "function" ? match : childMatcher(match)));
  }
  var filter = Array.prototype.filter;
  function children() {
    return Array.from(this.children);
  }
  function childrenFilter(match) {
    return function() {
      return filter.call(this.children, match);
    };
  }
  function selection_selectChildren(match) {
    return this.selectAll(match == null ? children : childrenFilter(typeof match === "function" ? match : childMatcher(match)));
  }
  function selection_filter(match) {
    if (typeof match !== "function") match = matcher(match);
    for (var groups = this._groups, m = groups.length, subgroups = new Array(m), j = 0; j < m; ++j) {
      for (var group2 = groups[j], n = group2.length, subgroup = subgroups[j] = [], node2, i = 0; i < n; ++i) {
        if ((node2 = group2[i]) && match.call(node2, node2.__data__, i, group2)) {
          subgroup.push(node2);
        }
      }
    }
    return new Selection(subgroups, this._parents);
  }
  function sparse(update) {
    return new Array(update.length);
  }
  function selection_enter() {
    return new Selection(this._enter || this._groups.map(sparse), this._parents);
  }
  function EnterNode(parent, datum2) {
    this.ownerDocument = parent.ownerDocument;
    this.namespaceURI = parent.namespaceURI;
    this._next = null;
    this._parent = parent;
    this.__data__ = datum2;
  }
  EnterNode.prototype = {
    constructor: EnterNode,
    appendChild: function(child) {
      return this._parent.insertBefore(child, this._next);
    },
    insertBefore: function(child, next) {
      return this._parent.insertBefore(child, next);
    },
    querySelector: function(selector2) {
      return this._parent.querySelector(selector2);
    },
    querySelectorAll: function(selector2) {
      return this._parent.querySelectorAll(selector2);
    }
  };
  function constant(x2) {
    return function() {
      return x2;
    };
  }
  function bindIndex(parent, group2, enter, update, exit, data) {
    var i = 0, node2, groupLength = group2.length, dataLength = data.length;
    for (; i < dataLength; ++i) {
      if (node2 = group2[i]) {
        node2.__data__ = data[i];
        update[i] = node2;
      } else {
        enter[i] = new EnterNode(parent, data[i]);
      }
    }
    for (; i < groupLength; ++i) {
      if (node2 = group2[i]) {
        exit[i] = node2;
      }
    }
  }
  function bindKey(parent, group2, enter, update, exit, data, key) {
    var i, node2, nodeByKeyValue = /* @__PURE__ */ new Map(), groupLength = group2.length, dataLength = data.length, keyValues = new Array(groupLength), keyValue;
    for (i = 0; i < groupLength; ++i) {
      if (node2 = group2[i]) {
        keyValues[i] = keyValue = key.call(node2, node2.__data__, i, group2) + "";
        if (nodeByKeyValue.has(keyValue)) {
          exit[i] = node2;
        } else {
          nodeByKeyValue.set(keyValue, node2);
        }
      }
    }
    for (i = 0; i < dataLength; ++i) {
      keyValue = key.call(parent, data[i], i, data) + "";
      if (node2 = nodeByKeyValue.get(keyValue)) {
        update[i] = node2;
        node2.__data__ = data[i];
        nodeByKeyValue.delete(keyValue);
      } else {
        enter[i] = new EnterNode(parent, data[i]);
      }
    }
    for (i = 0; i < groupLength; ++i) {
      if ((node2 = group2[i]) && nodeByKeyValue.get(keyValues[i]) === node2) {
        exit[i] = node2;
      }
    }
  }
  function datum(node2) {
    return node2.__data__;
  }
  function selection_data(value2, key) {
    if (!arguments.length) return Array.from(this, datum);
    var bind = key ? bindKey : bindIndex, parents = this._parents, groups = this._groups;
    if (typeof value2 !== "function") value2 = constant(value2);
    for (var m = groups.length, update = new Array(m), enter = new Array(m), exit = new Array(m), j = 0; j < m; ++j) {
      var parent = parents[j], group2 = groups[j], groupLength = group2.length, data = arraylike(value2.call(parent, parent && parent.__data__, j, parents)), dataLength = data.length, enterGroup = enter[j] = new Array(dataLength), updateGroup = update[j] = new Array(dataLength), exitGroup = exit[j] = new Array(groupLength);
      bind(parent, group2, enterGroup, updateGroup, exitGroup, data, key);
      for (var i0 = 0, i1 = 0, previous, next; i0 < dataLength; ++i0) {
        if (previous = enterGroup[i0]) {
          if (i0 >= i1) i1 = i0 + 1;
          while (!(next = updateGroup[i1]) && ++i1 < dataLength) ;
          previous._next = next || null;
        }
      }
    }
    update = new Selection(update, parents);
    update._enter = enter;
    update._exit = exit;
    return update;
  }
  function arraylike(data) {
    return typeof data === "object" && "length" in data ? data : Array.from(data);
  }
  function selection_exit() {
    return new Selection(this._exit || this._groups.map(sparse), this._parents);
  }
  function selection_join(onenter, onupdate, onexit) {
    var enter = this.enter(), update = this, exit = this.exit();
    if (typeof onenter === "function") {
      enter = onenter(enter);
      if (enter) enter = enter.selection();
    } else {
      enter = enter.append(onenter + "");
    }
    if (onupdate != null) {
      update = onupdate(update);
      if (update) update = update.selection();
    }
    if (onexit == null) exit.remove();
    else onexit(exit);
    return enter && update ? enter.merge(update).order() : update;
  }
  function selection_merge(context) {
    var selection2 = context.selection ? context.selection() : context;
    for (var groups0 = this._groups, groups1 = selection2._groups, m0 = groups0.length, m1 = groups1.length, m = Math.min(m0, m1), merges = new Array(m0), j = 0; j < m; ++j) {
      for (var group0 = groups0[j], group1 = groups1[j], n = group0.length, merge2 = merges[j] = new Array(n), node2, i = 0; i < n; ++i) {
        if (node2 = group0[i] || group1[i]) {
          merge2[i] = node2;
        }
      }
    }
    for (; j < m0; ++j) {
      merges[j] = groups0[j];
    }
    return new Selection(merges, this._parents);
  }
  function selection_order() {
    for (var groups = this._groups, j = -1, m = groups.length; ++j < m; ) {
      for (var group2 = groups[j], i = group2.length - 1, next = group2[i], node2; --i >= 0; ) {
        if (node2 = group2[i]) {
          if (next && node2.compareDocumentPosition(next) ^ 4) next.parentNode.insertBefore(node2, next);
          next = node2;
        }
      }
    }
    return this;
  }
  function selection_sort(compare2) {
    if (!compare2) compare2 = ascending2;
    function compareNode(a2, b) {
      return a2 && b ? compare2(a2.__data__, b.__data__) : !a2 - !b;
    }
    for (var groups = this._groups, m = groups.length, sortgroups = new Array(m), j = 0; j < m; ++j) {
      for (var group2 = groups[j], n = group2.length, sortgroup = sortgroups[j] = new Array(n), node2, i = 0; i < n; ++i) {
        if (node2 = group2[i]) {
          sortgroup[i] = node2;
        }
      }
      sortgroup.sort(compareNode);
    }
    return new Selection(sortgroups, this._parents).order();
  }
  function ascending2(a2, b) {
    return a2 < b ? -1 : a2 > b ? 1 : a2 >= b ? 0 : NaN;
  }
  function selection_call() {
    var callback = arguments[0];
    arguments[0] = this;
    callback.apply(null, arguments);
    return this;
  }
  function selection_nodes() {
    return Array.from(this);
  }
  function selection_node() {
    for (var groups = this._groups, j = 0, m = groups.length; j < m; ++j) {
      for (var group2 = groups[j], i = 0, n = group2.length; i < n; ++i) {
        var node2 = group2[i];
        if (node2) return node2;
      }
    }
    return null;
  }
  function selection_size() {
    let size = 0;
    for (const node2 of this) ++size;
    return size;
  }
  function selection_empty() {
    return !this.node();
  }
  function selection_each(callback) {
    for (var groups = this._groups, j = 0, m = groups.length; j < m; ++j) {
      for (var group2 = groups[j], i = 0, n = group2.length, node2; i < n; ++i) {
        if (node2 = group2[i]) callback.call(node2, node2.__data__, i, group2);
      }
    }
    return this;
  }
  function attrRemove(name) {
    return function() {
      this.removeAttribute(name);
    };
  }
  function attrRemoveNS(fullname) {
    return function() {
      this.removeAttributeNS(fullname.space, fullname.local);
    };
  }
  function attrConstant(name, value2) {
    return function() {
      this.setAttribute(name, value2);
    };
  }
  function attrConstantNS(fullname, value2) {
    return function() {
      this.setAttributeNS(fullname.space, fullname.local, value2);
    };
  }
  function attrFunction(name, value2) {
    return function() {
      var v = value2.apply(this, arguments);
      if (v == null) this.removeAttribute(name);
      else this.setAttribute(name, v);
    };
  }
  function attrFunctionNS(fullname, value2) {
    return function() {
      var v = value2.apply(this, arguments);
      if (v == null) this.removeAttributeNS(fullname.space, fullname.local);
      else this.setAttributeNS(fullname.space, fullname.local, v);
    };
  }
  function selection_attr(name, value2) {
    var fullname = namespace(name);
    if (arguments.length < 2) {
      var node2 = this.node();
      return fullname.local ? node2.getAttributeNS(fullname.space, fullname.local) : node2.getAttribute(fullname);
    }
    return this.each((value2 == null ? fullname.local ? attrRemoveNS : attrRemove : typeof value2 === "function" ? fullname.local ? attrFunctionNS : attrFunction : fullname.local ? attrConstantNS : attrConstant)(fullname, value2));
  }
  function defaultView(node2) {
    return node2.ownerDocument && node2.ownerDocument.defaultView || node2.document && node2 || node2.defaultView;
  }
  function styleRemove(name) {
    return function() {
      this.style.removeProperty(name);
    };
  }
  function styleConstant(name, value2, priority) {
    return function() {
      this.style.setProperty(name, value2, priority);
    };
  }
  function styleFunction(name, value2, priority) {
    return function() {
      var v = value2.apply(this, arguments);
      if (v == null) this.style.removeProperty(name);
      else this.style.setProperty(name, v, priority);
    };
  }
  function selection_style(name, value2, priority) {
    return arguments.length > 1 ? this.each((value2 == null ? styleRemove : typeof value2 === "function" ? styleFunction : styleConstant)(name, value2, priority == null ? "" : priority)) : styleValue(this.node(), name);
  }
  function styleValue(node2, name) {
    return node2.style.getPropertyValue(name) || defaultView(node2).getComputedStyle(node2, null).getPropertyValue(name);
  }
  function propertyRemove(name) {
    return function() {
      delete this[name];
    };
  }
  function propertyConstant(name, value2) {
    return function() {
      this[name] = value2;
    };
  }
  function propertyFunction(name, value2) {
    return function() {
      var v = value2.apply(this, arguments);
      if (v == null) delete this[name];
      else this[name] = v;
    };
  }
  function selection_property(name, value2) {
    return arguments.length > 1 ? this.each((value2 == null ? propertyRemove : typeof value2 === "function" ? propertyFunction : propertyConstant)(name, value2)) : this.node()[name];
  }
  function classArray(string3) {
    return string3.trim().split(/^|\s+/);
  }
  function classList(node2) {
    return node2.classList || new ClassList(node2);
  }
  function ClassList(node2) {
    this._node = node2;
    this._names = classArray(node2.getAttribute("class") || "");
  }
  ClassList.prototype = {
    add: function(name) {
      var i = this._names.indexOf(name);
      if (i < 0) {
        this._names.push(name);
        this._node.setAttribute("class", this._names.join(" "));
      }
    },
    remove: function(name) {
      var i = this._names.indexOf(name);
      if (i >= 0) {
        this._names.splice(i, 1);
        this._node.setAttribute("class", this._names.join(" "));
      }
    },
    contains: function(name) {
      return this._names.indexOf(name) >= 0;
    }
  };
  function classedAdd(node2, names) {
    var list = classList(node2), i = -1, n = names.length;
    while (++i < n) list.add(names[i]);
  }
  function classedRemove(node2, names) {
    var list = classList(node2), i = -1, n = names.length;
    while (++i < n) list.remove(names[i]);
  }
  function classedTrue(names) {
    return function() {
      classedAdd(this, names);
    };
  }
  function classedFalse(names) {
    return function() {
      classedRemove(this, names);
    };
  }
  function classedFunction(names, value2) {
    return function() {
      (value2.apply(this, arguments) ? classedAdd : classedRemove)(this, names);
    };
  }
  function selection_classed(name, value2) {
    var names = classArray(name + "");
    if (arguments.length < 2) {
      var list = classList(this.node()), i = -1, n = names.length;
      while (++i < n) if (!list.contains(names[i])) return false;
      return true;
    }
    return this.each((typeof value2 === "function" ? classedFunction : value2 ? classedTrue : classedFalse)(names, value2));
  }
  function textRemove() {
    this.textContent = "";
  }
  function textConstant(value2) {
    return function() {
      this.textContent = value2;
    };
  }
  function textFunction(value2) {
    return function() {
      var v = value2.apply(this, arguments);
      this.textContent = v == null ? "" : v;
    };
  }
  function selection_text(value2) {
    return arguments.length ? this.each(value2 == null ? textRemove : (typeof value2 === "function" ? textFunction : textConstant)(value2)) : this.node().textContent;
  }
  function htmlRemove() {
    this.innerHTML = "";
  }
  function htmlConstant(value2) {
    return function() {
      this.innerHTML = value2;
    };
  }
  function htmlFunction(value2) {
    return function() {
      var v = value2.apply(this, arguments);
      this.innerHTML = v == null ? "" : v;
    };
  }
  function selection_html(value2) {
    return arguments.length ? this.each(value2 == null ? htmlRemove : (typeof value2 === "function" ? htmlFunction : htmlConstant)(value2)) : this.node().innerHTML;
  }
  function raise() {
    if (this.nextSibling) this.parentNode.appendChild(this);
  }
  function selection_raise() {
    return this.each(raise);
  }
  function lower() {
    if (this.previousSibling) this.parentNode.insertBefore(this, this.parentNode.firstChild);
  }
  function selection_lower() {
    return this.each(lower);
  }
  function selection_append(name) {
    var create2 = typeof name === "function" ? name : creator(name);
    return this.select(function() {
      return this.appendChild(create2.apply(this, arguments));
    });
  }
  function constantNull() {
    return null;
  }
  function selection_insert(name, before) {
    var create2 = typeof name === "function" ? name : creator(name), select2 = before == null ? constantNull : typeof before === "function" ? before : selector(before);
    return this.select(function() {
      return this.insertBefore(create2.apply(this, arguments), select2.apply(this, arguments) || null);
    });
  }
  function remove() {
    var parent = this.parentNode;
    if (parent) parent.removeChild(this);
  }
  function selection_remove() {
    return this.each(remove);
  }
  function selection_cloneShallow() {
    var clone = this.cloneNode(false), parent = this.parentNode;
    return parent ? parent.insertBefore(clone, this.nextSibling) : clone;
  }
  function selection_cloneDeep() {
    var clone = this.cloneNode(true), parent = this.parentNode;
    return parent ? parent.insertBefore(clone, this.nextSibling) : clone;
  }
  function selection_clone(deep) {
    return this.select(deep ? selection_cloneDeep : selection_cloneShallow);
  }
  function selection_datum(value2) {
    return arguments.length ? this.property("__data__", value2) : this.node().__data__;
  }
  function contextListener(listener) {
    return function(event) {
      listener.call(this, event, this.__data__);
    };
  }
  function parseTypenames(typenames) {
    return typenames.trim().split(/^|\s+/).map(function(t) {
      var name = "", i = t.indexOf(".");
      if (i >= 0) name = t.slice(i + 1), t = t.slice(0, i);
      return { type: t, name };
    });
  }
  function onRemove(typename) {
    return function() {
      var on2 = this.__on;
      if (!on2) return;
      for (var j = 0, i = -1, m = on2.length, o; j < m; ++j) {
        if (o = on2[j], (!typename.type || o.type === typename.type) && o.name === typename.name) {
          this.removeEventListener(o.type, o.listener, o.options);
        } else {
          on2[++i] = o;
        }
      }
      if (++i) on2.length = i;
      else delete this.__on;
    };
  }
  function onAdd(typename, value2, options) {
    return function() {
      var on2 = this.__on, o, listener = contextListener(value2);
      if (on2) for (var j = 0, m = on2.length; j < m; ++j) {
        if ((o = on2[j]).type === typename.type && o.name === typename.name) {
          this.removeEventListener(o.type, o.listener, o.options);
          this.addEventListener(o.type, o.listener = listener, o.options = options);
          o.value = value2;
          return;
        }
      }
      this.addEventListener(typename.type, listener, options);
      o = { type: typename.type, name: typename.name, value: value2, listener, options };
      if (!on2) this.__on = [o];
      else on2.push(o);
    };
  }
  function selection_on(typename, value2, options) {
    var typenames = parseTypenames(typename + ""), i, n = typenames.length, t;
    if (arguments.length < 2) {
      var on2 = this.node().__on;
      if (on2) for (var j = 0, m = on2.length, o; j < m; ++j) {
        for (i = 0, o = on2[j]; i < n; ++i) {
          if ((t = typenames[i]).type === o.type && t.name === o.name) {
            return o.value;
          }
        }
      }
      return;
    }
    on2 = value2 ? onAdd : onRemove;
    for (i = 0; i < n; ++i) this.each(on2(typenames[i], value2, options));
    return this;
  }
  function dispatchEvent(node2, type, params) {
    var window2 = defaultView(node2), event = window2.CustomEvent;
    if (typeof event === "function") {
      event = new event(type, params);
    } else {
      event = window2.document.createEvent("Event");
      if (params) event.initEvent(type, params.bubbles, params.cancelable), event.detail = params.detail;
      else event.initEvent(type, false, false);
    }
    node2.dispatchEvent(event);
  }
  function dispatchConstant(type, params) {
    return function() {
      return dispatchEvent(this, type, params);
    };
  }
  function dispatchFunction(type, params) {
    return function() {
      return dispatchEvent(this, type, params.apply(this, arguments));
    };
  }
  function selection_dispatch(type, params) {
    return this.each((typeof params === "function" ? dispatchFunction : dispatchConstant)(type, params));
  }
  function* selection_iterator() {
    for (var groups = this._groups, j = 0, m = groups.length; j < m; ++j) {
      for (var group2 = groups[j], i = 0, n = group2.length, node2; i < n; ++i) {
        if (node2 = group2[i]) yield node2;
      }
    }
  }
  var root = [null];
  function Selection(groups, parents) {
    this._groups = groups;
    this._parents = parents;
  }
  function selection() {
    return new Selection([[document.documentElement]], root);
  }
  function selection_selection() {
    return this;
  }
  Selection.prototype = selection.prototype = {
    constructor: Selection,
    select: selection_select,
    selectAll: selection_selectAll,
    selectChild: selection_selectChild,
    selectChildren: selection_selectChildren,
    filter: selection_filter,
    data: selection_data,
    enter: selection_enter,
    exit: selection_exit,
    join: selection_join,
    merge: selection_merge,
    selection: selection_selection,
    order: selection_order,
    sort: selection_sort,
    call: selection_call,
    nodes: selection_nodes,
    node: selection_node,
    size: selection_size,
    empty: selection_empty,
    each: selection_each,
    attr: selection_attr,
    style: selection_style,
    property: selection_property,
    classed: selection_classed,
    text: selection_text,
    html: selection_html,
    raise: selection_raise,
    lower: selection_lower,
    append: selection_append,
    insert: selection_insert,
    remove: selection_remove,
    clone: selection_clone,
    datum: selection_datum,
    on: selection_on,
    dispatch: selection_dispatch,
    [Symbol.iterator]: selection_iterator
  };
  function select(selector2) {
    return typeof selector2 === "string" ? new Selection([[document.querySelector(selector2)]], [document.documentElement]) : new Selection([[selector2]], root);
  }
  var nextId = 0;
  function local() {
    return new Local();
  }
  function Local() {
    this._ = "@" + (++nextId).toString(36);
  }
  Local.prototype = local.prototype = {
    constructor: Local,
    get: function(node2) {
      var id = this._;
      while (!(id in node2)) if (!(node2 = node2.parentNode)) return;
      return node2[id];
    },
    set: function(node2, value2) {
      return node2[this._] = value2;
    },
    remove: function(node2) {
      return this._ in node2 && delete node2[this._];
    },
    toString: function() {
      return this._;
    }
  };
  function sourceEvent(event) {
    let sourceEvent2;
    while (sourceEvent2 = event.sourceEvent) event = sourceEvent2;
    return event;
  }
  function pointer(event, node2) {
    event = sourceEvent(event);
    if (node2 === void 0) node2 = event.currentTarget;
    if (node2) {
      var svg = node2.ownerSVGElement || node2;
      if (svg.createSVGPoint) {
        var point3 = svg.createSVGPoint();
        point3.x = event.clientX, point3.y = event.clientY;
        point3 = point3.matrixTransform(node2.getScreenCTM().inverse());
        return [point3.x, point3.y];
      }
      if (node2.getBoundingClientRect) {
        var rect = node2.getBoundingClientRect();
        return [event.clientX - rect.left - node2.clientLeft, event.clientY - rect.top - node2.clientTop];
      }
    }
    return [event.pageX, event.pageY];
  }

  // node_modules/d3-color/dist/d3-color.mjs
  function define(constructor, factory, prototype) {
    constructor.prototype = factory.prototype = prototype;
    prototype.constructor = constructor;
  }
  function extend(parent, definition) {
    var prototype = Object.create(parent.prototype);
    for (var key in definition) prototype[key] = definition[key];
    return prototype;
  }
  function Color() {
  }
  var darker = 0.7;
  var brighter = 1 / darker;
  var reI = "\\s*([+-]?\\d+)\\s*";
  var reN = "\\s*([+-]?(?:\\d*\\.)?\\d+(?:[eE][+-]?\\d+)?)\\s*";
  var reP = "\\s*([+-]?(?:\\d*\\.)?\\d+(?:[eE][+-]?\\d+)?)%\\s*";
  var reHex = /^#([0-9a-f]{3,8})$/;
  var reRgbInteger = new RegExp(`^rgb\\(${reI},${reI},${reI}\\)$`);
  var reRgbPercent = new RegExp(`^rgb\\(${reP},${reP},${reP}\\)$`);
  var reRgbaInteger = new RegExp(`^rgba\\(${reI},${reI},${reI},${reN}\\)$`);
  var reRgbaPercent = new RegExp(`^rgba\\(${reP},${reP},${reP},${reN}\\)$`);
  var reHslPercent = new RegExp(`^hsl\\(${reN},${reP},${reP}\\)$`);
  var reHslaPercent = new RegExp(`^hsla\\(${reN},${reP},${reP},${reN}\\)$`);
  var named = {
    aliceblue: 15792383,
    antiquewhite: 16444375,
    aqua: 65535,
    aquamarine: 8388564,
    azure: 15794175,
    beige: 16119260,
    bisque: 16770244,
    black: 0,
    blanchedalmond: 16772045,
    blue: 255,
    blueviolet: 9055202,
    brown: 10824234,
    burlywood: 14596231,
    cadetblue: 6266528,
    chartreuse: 8388352,
    chocolate: 13789470,
    coral: 16744272,
    cornflowerblue: 6591981,
    cornsilk: 16775388,
    crimson: 14423100,
    cyan: 65535,
    darkblue: 139,
    darkcyan: 35723,
    darkgoldenrod: 12092939,
    darkgray: 11119017,
    darkgreen: 25600,
    darkgrey: 11119017,
    darkkhaki: 12433259,
    darkmagenta: 9109643,
    darkolivegreen: 5597999,
    darkorange: 16747520,
    darkorchid: 10040012,
    darkred: 9109504,
    darksalmon: 15308410,
    darkseagreen: 9419919,
    darkslateblue: 4734347,
    darkslategray: 3100495,
    darkslategrey: 3100495,
    darkturquoise: 52945,
    darkviolet: 9699539,
    deeppink: 16716947,
    deepskyblue: 49151,
    dimgray: 6908265,
    dimgrey: 6908265,
    dodgerblue: 2003199,
    firebrick: 11674146,
    floralwhite: 16775920,
    forestgreen: 2263842,
    fuchsia: 16711935,
    gainsboro: 14474460,
    ghostwhite: 16316671,
    gold: 16766720,
    goldenrod: 14329120,
    gray: 8421504,
    green: 32768,
    greenyellow: 11403055,
    grey: 8421504,
    honeydew: 15794160,
    hotpink: 16738740,
    indianred: 13458524,
    indigo: 4915330,
    ivory: 16777200,
    khaki: 15787660,
    lavender: 15132410,
    lavenderblush: 16773365,
    lawngreen: 8190976,
    lemonchiffon: 16775885,
    lightblue: 11393254,
    lightcoral: 15761536,
    lightcyan: 14745599,
    lightgoldenrodyellow: 16448210,
    lightgray: 13882323,
    lightgreen: 9498256,
    lightgrey: 13882323,
    lightpink: 16758465,
    lightsalmon: 16752762,
    lightseagreen: 2142890,
    lightskyblue: 8900346,
    lightslategray: 7833753,
    lightslategrey: 7833753,
    lightsteelblue: 11584734,
    lightyellow: 16777184,
    lime: 65280,
    limegreen: 3329330,
    linen: 16445670,
    magenta: 16711935,
    maroon: 8388608,
    mediumaquamarine: 6737322,
    mediumblue: 205,
    mediumorchid: 12211667,
    mediumpurple: 9662683,
    mediumseagreen: 3978097,
    mediumslateblue: 8087790,
    mediumspringgreen: 64154,
    mediumturquoise: 4772300,
    mediumvioletred: 13047173,
    midnightblue: 1644912,
    mintcream: 16121850,
    mistyrose: 16770273,
    moccasin: 16770229,
    navajowhite: 16768685,
    navy: 128,
    oldlace: 16643558,
    olive: 8421376,
    olivedrab: 7048739,
    orange: 16753920,
    orangered: 16729344,
    orchid: 14315734,
    palegoldenrod: 15657130,
    palegreen: 10025880,
    paleturquoise: 11529966,
    palevioletred: 14381203,
    papayawhip: 16773077,
    peachpuff: 16767673,
    peru: 13468991,
    pink: 16761035,
    plum: 14524637,
    powderblue: 11591910,
    purple: 8388736,
    rebeccapurple: 6697881,
    red: 16711680,
    rosybrown: 12357519,
    royalblue: 4286945,
    saddlebrown: 9127187,
    salmon: 16416882,
    sandybrown: 16032864,
    seagreen: 3050327,
    seashell: 16774638,
    sienna: 10506797,
    silver: 12632256,
    skyblue: 8900331,
    slateblue: 6970061,
    slategray: 7372944,
    slategrey: 7372944,
    snow: 16775930,
    springgreen: 65407,
    steelblue: 4620980,
    tan: 13808780,
    teal: 32896,
    thistle: 14204888,
    tomato: 16737095,
    turquoise: 4251856,
    violet: 15631086,
    wheat: 16113331,
    white: 16777215,
    whitesmoke: 16119285,
    yellow: 16776960,
    yellowgreen: 10145074
  };
  define(Color, color, {
    copy(channels) {
      return Object.assign(new this.constructor(), this, channels);
    },
    displayable() {
      return this.rgb().displayable();
    },
    hex: color_formatHex,
    // Deprecated! Use color.formatHex.
    formatHex: color_formatHex,
    formatHex8: color_formatHex8,
    formatHsl: color_formatHsl,
    formatRgb: color_formatRgb,
    toString: color_formatRgb
  });
  function color_formatHex() {
    return this.rgb().formatHex();
  }
  function color_formatHex8() {
    return this.rgb().formatHex8();
  }
  function color_formatHsl() {
    return hslConvert(this).formatHsl();
  }
  function color_formatRgb() {
    return this.rgb().formatRgb();
  }
  function color(format3) {
    var m, l;
    format3 = (format3 + "").trim().toLowerCase();
    return (m = reHex.exec(format3)) ? (l = m[1].length, m = parseInt(m[1], 16), l === 6 ? rgbn(m) : l === 3 ? new Rgb(m >> 8 & 15 | m >> 4 & 240, m >> 4 & 15 | m & 240, (m & 15) << 4 | m & 15, 1) : l === 8 ? rgba(m >> 24 & 255, m >> 16 & 255, m >> 8 & 255, (m & 255) / 255) : l === 4 ? rgba(m >> 12 & 15 | m >> 8 & 240, m >> 8 & 15 | m >> 4 & 240, m >> 4 & 15 | m & 240, ((m & 15) << 4 | m & 15) / 255) : null) : (m = reRgbInteger.exec(format3)) ? new Rgb(m[1], m[2], m[3], 1) : (m = reRgbPercent.exec(format3)) ? new Rgb(m[1] * 255 / 100, m[2] * 255 / 100, m[3] * 255 / 100, 1) : (m = reRgbaInteger.exec(format3)) ? rgba(m[1], m[2], m[3], m[4]) : (m = reRgbaPercent.exec(format3)) ? rgba(m[1] * 255 / 100, m[2] * 255 / 100, m[3] * 255 / 100, m[4]) : (m = reHslPercent.exec(format3)) ? hsla(m[1], m[2] / 100, m[3] / 100, 1) : (m = reHslaPercent.exec(format3)) ? hsla(m[1], m[2] / 100, m[3] / 100, m[4]) : named.hasOwnProperty(format3) ? rgbn(named[format3]) : format3 === "transparent" ? new Rgb(NaN, NaN, NaN, 0) : null;
  }
  function rgbn(n) {
    return new Rgb(n >> 16 & 255, n >> 8 & 255, n & 255, 1);
  }
  function rgba(r, g, b, a2) {
    if (a2 <= 0) r = g = b = NaN;
    return new Rgb(r, g, b, a2);
  }
  function rgbConvert(o) {
    if (!(o instanceof Color)) o = color(o);
    if (!o) return new Rgb();
    o = o.rgb();
    return new Rgb(o.r, o.g, o.b, o.opacity);
  }
  function rgb(r, g, b, opacity2) {
    return arguments.length === 1 ? rgbConvert(r) : new Rgb(r, g, b, opacity2 == null ? 1 : opacity2);
  }
  function Rgb(r, g, b, opacity2) {
    this.r = +r;
    this.g = +g;
    this.b = +b;
    this.opacity = +opacity2;
  }
  define(Rgb, rgb, extend(Color, {
    brighter(k2) {
      k2 = k2 == null ? brighter : Math.pow(brighter, k2);
      return new Rgb(this.r * k2, this.g * k2, this.b * k2, this.opacity);
    },
    darker(k2) {
      k2 = k2 == null ? darker : Math.pow(darker, k2);
      return new Rgb(this.r * k2, this.g * k2, this.b * k2, this.opacity);
    },
    rgb() {
      return this;
    },
    clamp() {
      return new Rgb(clampi(this.r), clampi(this.g), clampi(this.b), clampa(this.opacity));
    },
    displayable() {
      return -0.5 <= this.r && this.r < 255.5 && (-0.5 <= this.g && this.g < 255.5) && (-0.5 <= this.b && this.b < 255.5) && (0 <= this.opacity && this.opacity <= 1);
    },
    hex: rgb_formatHex,
    // Deprecated! Use color.formatHex.
    formatHex: rgb_formatHex,
    formatHex8: rgb_formatHex8,
    formatRgb: rgb_formatRgb,
    toString: rgb_formatRgb
  }));
  function rgb_formatHex() {
    return `#${hex(this.r)}${hex(this.g)}${hex(this.b)}`;
  }
  function rgb_formatHex8() {
    return `#${hex(this.r)}${hex(this.g)}${hex(this.b)}${hex((isNaN(this.opacity) ? 1 : this.opacity) * 255)}`;
  }
  function rgb_formatRgb() {
    const a2 = clampa(this.opacity);
    return `${a2 === 1 ? "rgb(" : "rgba("}${clampi(this.r)}, ${clampi(this.g)}, ${clampi(this.b)}${a2 === 1 ? ")" : `, ${a2})`}`;
  }
  function clampa(opacity2) {
    return isNaN(opacity2) ? 1 : Math.max(0, Math.min(1, opacity2));
  }
  function clampi(value2) {
    return Math.max(0, Math.min(255, Math.round(value2) || 0));
  }
  function hex(value2) {
    value2 = clampi(value2);
    return (value2 < 16 ? "0" : "") + value2.toString(16);
  }
  function hsla(h2, s3, l, a2) {
    if (a2 <= 0) h2 = s3 = l = NaN;
    else if (l <= 0 || l >= 1) h2 = s3 = NaN;
    else if (s3 <= 0) h2 = NaN;
    return new Hsl(h2, s3, l, a2);
  }
  function hslConvert(o) {
    if (o instanceof Hsl) return new Hsl(o.h, o.s, o.l, o.opacity);
    if (!(o instanceof Color)) o = color(o);
    if (!o) return new Hsl();
    if (o instanceof Hsl) return o;
    o = o.rgb();
    var r = o.r / 255, g = o.g / 255, b = o.b / 255, min3 = Math.min(r, g, b), max2 = Math.max(r, g, b), h2 = NaN, s3 = max2 - min3, l = (max2 + min3) / 2;
    if (s3) {
      if (r === max2) h2 = (g - b) / s3 + (g < b) * 6;
      else if (g === max2) h2 = (b - r) / s3 + 2;
      else h2 = (r - g) / s3 + 4;
      s3 /= l < 0.5 ? max2 + min3 : 2 - max2 - min3;
      h2 *= 60;
    } else {
      s3 = l > 0 && l < 1 ? 0 : h2;
    }
    return new Hsl(h2, s3, l, o.opacity);
  }
  function hsl(h2, s3, l, opacity2) {
    return arguments.length === 1 ? hslConvert(h2) : new Hsl(h2, s3, l, opacity2 == null ? 1 : opacity2);
  }
  function Hsl(h2, s3, l, opacity2) {
    this.h = +h2;
    this.s = +s3;
    this.l = +l;
    this.opacity = +opacity2;
  }
  define(Hsl, hsl, extend(Color, {
    brighter(k2) {
      k2 = k2 == null ? brighter : Math.pow(brighter, k2);
      return new Hsl(this.h, this.s, this.l * k2, this.opacity);
    },
    darker(k2) {
      k2 = k2 == null ? darker : Math.pow(darker, k2);
      return new Hsl(this.h, this.s, this.l * k2, this.opacity);
    },
    rgb() {
      var h2 = this.h % 360 + (this.h < 0) * 360, s3 = isNaN(h2) || isNaN(this.s) ? 0 : this.s, l = this.l, m2 = l + (l < 0.5 ? l : 1 - l) * s3, m1 = 2 * l - m2;
      return new Rgb(
        hsl2rgb(h2 >= 240 ? h2 - 240 : h2 + 120, m1, m2),
        hsl2rgb(h2, m1, m2),
        hsl2rgb(h2 < 120 ? h2 + 240 : h2 - 120, m1, m2),
        this.opacity
      );
    },
    clamp() {
      return new Hsl(clamph(this.h), clampt(this.s), clampt(this.l), clampa(this.opacity));
    },
    displayable() {
      return (0 <= this.s && this.s <= 1 || isNaN(this.s)) && (0 <= this.l && this.l <= 1) && (0 <= this.opacity && this.opacity <= 1);
    },
    formatHsl() {
      const a2 = clampa(this.opacity);
      return `${a2 === 1 ? "hsl(" : "hsla("}${clamph(this.h)}, ${clampt(this.s) * 100}%, ${clampt(this.l) * 100}%${a2 === 1 ? ")" : `, ${a2})`}`;
    }
  }));
  function clamph(value2) {
    value2 = (value2 || 0) % 360;
    return value2 < 0 ? value2 + 360 : value2;
  }
  function clampt(value2) {
    return Math.max(0, Math.min(1, value2 || 0));
  }
  function hsl2rgb(h2, m1, m2) {
    return (h2 < 60 ? m1 + (m2 - m1) * h2 / 60 : h2 < 180 ? m2 : h2 < 240 ? m1 + (m2 - m1) * (240 - h2) / 60 : m1) * 255;
  }
  var radians = Math.PI / 180;
  var degrees = 180 / Math.PI;
  var K = 18;
  var Xn = 0.96422;
  var Yn = 1;
  var Zn = 0.82521;
  var t0 = 4 / 29;
  var t1 = 6 / 29;
  var t2 = 3 * t1 * t1;
  var t3 = t1 * t1 * t1;
  function labConvert(o) {
    if (o instanceof Lab) return new Lab(o.l, o.a, o.b, o.opacity);
    if (o instanceof Hcl) return hcl2lab(o);
    if (!(o instanceof Rgb)) o = rgbConvert(o);
    var r = rgb2lrgb(o.r), g = rgb2lrgb(o.g), b = rgb2lrgb(o.b), y2 = xyz2lab((0.2225045 * r + 0.7168786 * g + 0.0606169 * b) / Yn), x2, z2;
    if (r === g && g === b) x2 = z2 = y2;
    else {
      x2 = xyz2lab((0.4360747 * r + 0.3850649 * g + 0.1430804 * b) / Xn);
      z2 = xyz2lab((0.0139322 * r + 0.0971045 * g + 0.7141733 * b) / Zn);
    }
    return new Lab(116 * y2 - 16, 500 * (x2 - y2), 200 * (y2 - z2), o.opacity);
  }
  function lab(l, a2, b, opacity2) {
    return arguments.length === 1 ? labConvert(l) : new Lab(l, a2, b, opacity2 == null ? 1 : opacity2);
  }
  function Lab(l, a2, b, opacity2) {
    this.l = +l;
    this.a = +a2;
    this.b = +b;
    this.opacity = +opacity2;
  }
  define(Lab, lab, extend(Color, {
    brighter(k2) {
      return new Lab(this.l + K * (k2 == null ? 1 : k2), this.a, this.b, this.opacity);
    },
    darker(k2) {
      return new Lab(this.l - K * (k2 == null ? 1 : k2), this.a, this.b, this.opacity);
    },
    rgb() {
      var y2 = (this.l + 16) / 116, x2 = isNaN(this.a) ? y2 : y2 + this.a / 500, z2 = isNaN(this.b) ? y2 : y2 - this.b / 200;
      x2 = Xn * lab2xyz(x2);
      y2 = Yn * lab2xyz(y2);
      z2 = Zn * lab2xyz(z2);
      return new Rgb(
        lrgb2rgb(3.1338561 * x2 - 1.6168667 * y2 - 0.4906146 * z2),
        lrgb2rgb(-0.9787684 * x2 + 1.9161415 * y2 + 0.033454 * z2),
        lrgb2rgb(0.0719453 * x2 - 0.2289914 * y2 + 1.4052427 * z2),
        this.opacity
      );
    }
  }));
  function xyz2lab(t) {
    return t > t3 ? Math.pow(t, 1 / 3) : t / t2 + t0;
  }
  function lab2xyz(t) {
    return t > t1 ? t * t * t : t2 * (t - t0);
  }
  function lrgb2rgb(x2) {
    return 255 * (x2 <= 31308e-7 ? 12.92 * x2 : 1.055 * Math.pow(x2, 1 / 2.4) - 0.055);
  }
  function rgb2lrgb(x2) {
    return (x2 /= 255) <= 0.04045 ? x2 / 12.92 : Math.pow((x2 + 0.055) / 1.055, 2.4);
  }
  function hclConvert(o) {
    if (o instanceof Hcl) return new Hcl(o.h, o.c, o.l, o.opacity);
    if (!(o instanceof Lab)) o = labConvert(o);
    if (o.a === 0 && o.b === 0) return new Hcl(NaN, 0 < o.l && o.l < 100 ? 0 : NaN, o.l, o.opacity);
    var h2 = Math.atan2(o.b, o.a) * degrees;
    return new Hcl(h2 < 0 ? h2 + 360 : h2, Math.sqrt(o.a * o.a + o.b * o.b), o.l, o.opacity);
  }
  function hcl(h2, c3, l, opacity2) {
    return arguments.length === 1 ? hclConvert(h2) : new Hcl(h2, c3, l, opacity2 == null ? 1 : opacity2);
  }
  function Hcl(h2, c3, l, opacity2) {
    this.h = +h2;
    this.c = +c3;
    this.l = +l;
    this.opacity = +opacity2;
  }
  function hcl2lab(o) {
    if (isNaN(o.h)) return new Lab(o.l, 0, 0, o.opacity);
    var h2 = o.h * radians;
    return new Lab(o.l, Math.cos(h2) * o.c, Math.sin(h2) * o.c, o.opacity);
  }
  define(Hcl, hcl, extend(Color, {
    brighter(k2) {
      return new Hcl(this.h, this.c, this.l + K * (k2 == null ? 1 : k2), this.opacity);
    },
    darker(k2) {
      return new Hcl(this.h, this.c, this.l - K * (k2 == null ? 1 : k2), this.opacity);
    },
    rgb() {
      return hcl2lab(this).rgb();
    }
  }));
  var A = -0.14861;
  var B = 1.78277;
  var C = -0.29227;
  var D = -0.90649;
  var E = 1.97294;
  var ED = E * D;
  var EB = E * B;
  var BC_DA = B * C - D * A;
  function cubehelixConvert(o) {
    if (o instanceof Cubehelix) return new Cubehelix(o.h, o.s, o.l, o.opacity);
    if (!(o instanceof Rgb)) o = rgbConvert(o);
    var r = o.r / 255, g = o.g / 255, b = o.b / 255, l = (BC_DA * b + ED * r - EB * g) / (BC_DA + ED - EB), bl = b - l, k2 = (E * (g - l) - C * bl) / D, s3 = Math.sqrt(k2 * k2 + bl * bl) / (E * l * (1 - l)), h2 = s3 ? Math.atan2(k2, bl) * degrees - 120 : NaN;
    return new Cubehelix(h2 < 0 ? h2 + 360 : h2, s3, l, o.opacity);
  }
  function cubehelix(h2, s3, l, opacity2) {
    return arguments.length === 1 ? cubehelixConvert(h2) : new Cubehelix(h2, s3, l, opacity2 == null ? 1 : opacity2);
  }
  function Cubehelix(h2, s3, l, opacity2) {
    this.h = +h2;
    this.s = +s3;
    this.l = +l;
    this.opacity = +opacity2;
  }
  define(Cubehelix, cubehelix, extend(Color, {
    brighter(k2) {
      k2 = k2 == null ? brighter : Math.pow(brighter, k2);
      return new Cubehelix(this.h, this.s, this.l * k2, this.opacity);
    },
    darker(k2) {
      k2 = k2 == null ? darker : Math.pow(darker, k2);
      return new Cubehelix(this.h, this.s, this.l * k2, this.opacity);
    },
    rgb() {
      var h2 = isNaN(this.h) ? 0 : (this.h + 120) * radians, l = +this.l, a2 = isNaN(this.s) ? 0 : this.s * l * (1 - l), cosh2 = Math.cos(h2), sinh2 = Math.sin(h2);
      return new Rgb(
        255 * (l + a2 * (A * cosh2 + B * sinh2)),
        255 * (l + a2 * (C * cosh2 + D * sinh2)),
        255 * (l + a2 * (E * cosh2)),
        this.opacity
      );
    }
  }));

  // node_modules/d3-interpolate/dist/d3-interpolate.mjs
  function basis(t13, v0, v1, v2, v3) {
    var t22 = t13 * t13, t32 = t22 * t13;
    return ((1 - 3 * t13 + 3 * t22 - t32) * v0 + (4 - 6 * t22 + 3 * t32) * v1 + (1 + 3 * t13 + 3 * t22 - 3 * t32) * v2 + t32 * v3) / 6;
  }
  function basis$1(values2) {
    var n = values2.length - 1;
    return function(t) {
      var i = t <= 0 ? t = 0 : t >= 1 ? (t = 1, n - 1) : Math.floor(t * n), v1 = values2[i], v2 = values2[i + 1], v0 = i > 0 ? values2[i - 1] : 2 * v1 - v2, v3 = i < n - 1 ? values2[i + 2] : 2 * v2 - v1;
      return basis((t - i / n) * n, v0, v1, v2, v3);
    };
  }
  function basisClosed(values2) {
    var n = values2.length;
    return function(t) {
      var i = Math.floor(((t %= 1) < 0 ? ++t : t) * n), v0 = values2[(i + n - 1) % n], v1 = values2[i % n], v2 = values2[(i + 1) % n], v3 = values2[(i + 2) % n];
      return basis((t - i / n) * n, v0, v1, v2, v3);
    };
  }
  var constant2 = (x2) => () => x2;
  function linear(a2, d) {
    return function(t) {
      return a2 + t * d;
    };
  }
  function exponential(a2, b, y2) {
    return a2 = Math.pow(a2, y2), b = Math.pow(b, y2) - a2, y2 = 1 / y2, function(t) {
      return Math.pow(a2 + t * b, y2);
    };
  }
  function hue$1(a2, b) {
    var d = b - a2;
    return d ? linear(a2, d > 180 || d < -180 ? d - 360 * Math.round(d / 360) : d) : constant2(isNaN(a2) ? b : a2);
  }
  function gamma(y2) {
    return (y2 = +y2) === 1 ? nogamma : function(a2, b) {
      return b - a2 ? exponential(a2, b, y2) : constant2(isNaN(a2) ? b : a2);
    };
  }
  function nogamma(a2, b) {
    var d = b - a2;
    return d ? linear(a2, d) : constant2(isNaN(a2) ? b : a2);
  }
  var rgb2 = (function rgbGamma(y2) {
    var color3 = gamma(y2);
    function rgb3(start, end) {
      var r = color3((start = rgb(start)).r, (end = rgb(end)).r), g = color3(start.g, end.g), b = color3(start.b, end.b), opacity2 = nogamma(start.opacity, end.opacity);
      return function(t) {
        start.r = r(t);
        start.g = g(t);
        start.b = b(t);
        start.opacity = opacity2(t);
        return start + "";
      };
    }
    rgb3.gamma = rgbGamma;
    return rgb3;
  })(1);
  function rgbSpline(spline) {
    return function(colors2) {
      var n = colors2.length, r = new Array(n), g = new Array(n), b = new Array(n), i, color3;
      for (i = 0; i < n; ++i) {
        color3 = rgb(colors2[i]);
        r[i] = color3.r || 0;
        g[i] = color3.g || 0;
        b[i] = color3.b || 0;
      }
      r = spline(r);
      g = spline(g);
      b = spline(b);
      color3.opacity = 1;
      return function(t) {
        color3.r = r(t);
        color3.g = g(t);
        color3.b = b(t);
        return color3 + "";
      };
    };
  }
  var rgbBasis = rgbSpline(basis$1);
  var rgbBasisClosed = rgbSpline(basisClosed);
  function numberArray(a2, b) {
    if (!b) b = [];
    var n = a2 ? Math.min(b.length, a2.length) : 0, c3 = b.slice(), i;
    return function(t) {
      for (i = 0; i < n; ++i) c3[i] = a2[i] * (1 - t) + b[i] * t;
      return c3;
    };
  }
  function isNumberArray(x2) {
    return ArrayBuffer.isView(x2) && !(x2 instanceof DataView);
  }
  function genericArray(a2, b) {
    var nb = b ? b.length : 0, na = a2 ? Math.min(nb, a2.length) : 0, x2 = new Array(na), c3 = new Array(nb), i;
    for (i = 0; i < na; ++i) x2[i] = value(a2[i], b[i]);
    for (; i < nb; ++i) c3[i] = b[i];
    return function(t) {
      for (i = 0; i < na; ++i) c3[i] = x2[i](t);
      return c3;
    };
  }
  function date(a2, b) {
    var d = /* @__PURE__ */ new Date();
    return a2 = +a2, b = +b, function(t) {
      return d.setTime(a2 * (1 - t) + b * t), d;
    };
  }
  function number3(a2, b) {
    return a2 = +a2, b = +b, function(t) {
      return a2 * (1 - t) + b * t;
    };
  }
  function object(a2, b) {
    var i = {}, c3 = {}, k2;
    if (a2 === null || typeof a2 !== "object") a2 = {};
    if (b === null || typeof b !== "object") b = {};
    for (k2 in b) {
      if (k2 in a2) {
        i[k2] = value(a2[k2], b[k2]);
      } else {
        c3[k2] = b[k2];
      }
    }
    return function(t) {
      for (k2 in i) c3[k2] = i[k2](t);
      return c3;
    };
  }
  var reA = /[-+]?(?:\d+\.?\d*|\.?\d+)(?:[eE][-+]?\d+)?/g;
  var reB = new RegExp(reA.source, "g");
  function zero2(b) {
    return function() {
      return b;
    };
  }
  function one(b) {
    return function(t) {
      return b(t) + "";
    };
  }
  function string(a2, b) {
    var bi = reA.lastIndex = reB.lastIndex = 0, am, bm, bs, i = -1, s3 = [], q2 = [];
    a2 = a2 + "", b = b + "";
    while ((am = reA.exec(a2)) && (bm = reB.exec(b))) {
      if ((bs = bm.index) > bi) {
        bs = b.slice(bi, bs);
        if (s3[i]) s3[i] += bs;
        else s3[++i] = bs;
      }
      if ((am = am[0]) === (bm = bm[0])) {
        if (s3[i]) s3[i] += bm;
        else s3[++i] = bm;
      } else {
        s3[++i] = null;
        q2.push({ i, x: number3(am, bm) });
      }
      bi = reB.lastIndex;
    }
    if (bi < b.length) {
      bs = b.slice(bi);
      if (s3[i]) s3[i] += bs;
      else s3[++i] = bs;
    }
    return s3.length < 2 ? q2[0] ? one(q2[0].x) : zero2(b) : (b = q2.length, function(t) {
      for (var i2 = 0, o; i2 < b; ++i2) s3[(o = q2[i2]).i] = o.x(t);
      return s3.join("");
    });
  }
  function value(a2, b) {
    var t = typeof b, c3;
    return b == null || t === "boolean" ? constant2(b) : (t === "number" ? number3 : t === "string" ? (c3 = color(b)) ? (b = c3, rgb2) : string : b instanceof color ? rgb2 : b instanceof Date ? date : isNumberArray(b) ? numberArray : Array.isArray(b) ? genericArray : typeof b.valueOf !== "function" && typeof b.toString !== "function" || isNaN(b) ? object : number3)(a2, b);
  }
  function round(a2, b) {
    return a2 = +a2, b = +b, function(t) {
      return Math.round(a2 * (1 - t) + b * t);
    };
  }
  var degrees2 = 180 / Math.PI;
  var identity3 = {
    translateX: 0,
    translateY: 0,
    rotate: 0,
    skewX: 0,
    scaleX: 1,
    scaleY: 1
  };
  function decompose(a2, b, c3, d, e, f) {
    var scaleX, scaleY, skewX;
    if (scaleX = Math.sqrt(a2 * a2 + b * b)) a2 /= scaleX, b /= scaleX;
    if (skewX = a2 * c3 + b * d) c3 -= a2 * skewX, d -= b * skewX;
    if (scaleY = Math.sqrt(c3 * c3 + d * d)) c3 /= scaleY, d /= scaleY, skewX /= scaleY;
    if (a2 * d < b * c3) a2 = -a2, b = -b, skewX = -skewX, scaleX = -scaleX;
    return {
      translateX: e,
      translateY: f,
      rotate: Math.atan2(b, a2) * degrees2,
      skewX: Math.atan(skewX) * degrees2,
      scaleX,
      scaleY
    };
  }
  var svgNode;
  function parseCss(value2) {
    const m = new (typeof DOMMatrix === "function" ? DOMMatrix : WebKitCSSMatrix)(value2 + "");
    return m.isIdentity ? identity3 : decompose(m.a, m.b, m.c, m.d, m.e, m.f);
  }
  function parseSvg(value2) {
    if (value2 == null) return identity3;
    if (!svgNode) svgNode = document.createElementNS("http://www.w3.org/2000/svg", "g");
    svgNode.setAttribute("transform", value2);
    if (!(value2 = svgNode.transform.baseVal.consolidate())) return identity3;
    value2 = value2.matrix;
    return decompose(value2.a, value2.b, value2.c, value2.d, value2.e, value2.f);
  }
  function interpolateTransform(parse3, pxComma, pxParen, degParen) {
    function pop(s3) {
      return s3.length ? s3.pop() + " " : "";
    }
    function translate(xa, ya, xb, yb, s3, q2) {
      if (xa !== xb || ya !== yb) {
        var i = s3.push("translate(", null, pxComma, null, pxParen);
        q2.push({ i: i - 4, x: number3(xa, xb) }, { i: i - 2, x: number3(ya, yb) });
      } else if (xb || yb) {
        s3.push("translate(" + xb + pxComma + yb + pxParen);
      }
    }
    function rotate(a2, b, s3, q2) {
      if (a2 !== b) {
        if (a2 - b > 180) b += 360;
        else if (b - a2 > 180) a2 += 360;
        q2.push({ i: s3.push(pop(s3) + "rotate(", null, degParen) - 2, x: number3(a2, b) });
      } else if (b) {
        s3.push(pop(s3) + "rotate(" + b + degParen);
      }
    }
    function skewX(a2, b, s3, q2) {
      if (a2 !== b) {
        q2.push({ i: s3.push(pop(s3) + "skewX(", null, degParen) - 2, x: number3(a2, b) });
      } else if (b) {
        s3.push(pop(s3) + "skewX(" + b + degParen);
      }
    }
    function scale(xa, ya, xb, yb, s3, q2) {
      if (xa !== xb || ya !== yb) {
        var i = s3.push(pop(s3) + "scale(", null, ",", null, ")");
        q2.push({ i: i - 4, x: number3(xa, xb) }, { i: i - 2, x: number3(ya, yb) });
      } else if (xb !== 1 || yb !== 1) {
        s3.push(pop(s3) + "scale(" + xb + "," + yb + ")");
      }
    }
    return function(a2, b) {
      var s3 = [], q2 = [];
      a2 = parse3(a2), b = parse3(b);
      translate(a2.translateX, a2.translateY, b.translateX, b.translateY, s3, q2);
      rotate(a2.rotate, b.rotate, s3, q2);
      skewX(a2.skewX, b.skewX, s3, q2);
      scale(a2.scaleX, a2.scaleY, b.scaleX, b.scaleY, s3, q2);
      a2 = b = null;
      return function(t) {
        var i = -1, n = q2.length, o;
        while (++i < n) s3[(o = q2[i]).i] = o.x(t);
        return s3.join("");
      };
    };
  }
  var interpolateTransformCss = interpolateTransform(parseCss, "px, ", "px)", "deg)");
  var interpolateTransformSvg = interpolateTransform(parseSvg, ", ", ")", ")");
  var epsilon2 = 1e-12;
  function cosh(x2) {
    return ((x2 = Math.exp(x2)) + 1 / x2) / 2;
  }
  function sinh(x2) {
    return ((x2 = Math.exp(x2)) - 1 / x2) / 2;
  }
  function tanh(x2) {
    return ((x2 = Math.exp(2 * x2)) - 1) / (x2 + 1);
  }
  var zoom = (function zoomRho(rho, rho2, rho4) {
    function zoom2(p0, p1) {
      var ux0 = p0[0], uy0 = p0[1], w0 = p0[2], ux1 = p1[0], uy1 = p1[1], w1 = p1[2], dx = ux1 - ux0, dy = uy1 - uy0, d2 = dx * dx + dy * dy, i, S2;
      if (d2 < epsilon2) {
        S2 = Math.log(w1 / w0) / rho;
        i = function(t) {
          return [
            ux0 + t * dx,
            uy0 + t * dy,
            w0 * Math.exp(rho * t * S2)
          ];
        };
      } else {
        var d1 = Math.sqrt(d2), b0 = (w1 * w1 - w0 * w0 + rho4 * d2) / (2 * w0 * rho2 * d1), b1 = (w1 * w1 - w0 * w0 - rho4 * d2) / (2 * w1 * rho2 * d1), r0 = Math.log(Math.sqrt(b0 * b0 + 1) - b0), r1 = Math.log(Math.sqrt(b1 * b1 + 1) - b1);
        S2 = (r1 - r0) / rho;
        i = function(t) {
          var s3 = t * S2, coshr0 = cosh(r0), u = w0 / (rho2 * d1) * (coshr0 * tanh(rho * s3 + r0) - sinh(r0));
          return [
            ux0 + u * dx,
            uy0 + u * dy,
            w0 * coshr0 / cosh(rho * s3 + r0)
          ];
        };
      }
      i.duration = Math.abs(S2) * 1e3 * rho / Math.SQRT2;
      return i;
    }
    zoom2.rho = function(_) {
      var _1 = Math.max(1e-3, +_), _2 = _1 * _1, _4 = _2 * _2;
      return zoomRho(_1, _2, _4);
    };
    return zoom2;
  })(Math.SQRT2, 2, 4);
  function hsl2(hue) {
    return function(start, end) {
      var h2 = hue((start = hsl(start)).h, (end = hsl(end)).h), s3 = nogamma(start.s, end.s), l = nogamma(start.l, end.l), opacity2 = nogamma(start.opacity, end.opacity);
      return function(t) {
        start.h = h2(t);
        start.s = s3(t);
        start.l = l(t);
        start.opacity = opacity2(t);
        return start + "";
      };
    };
  }
  var hsl_default = hsl2(hue$1);
  var hslLong = hsl2(nogamma);
  function lab2(start, end) {
    var l = nogamma((start = lab(start)).l, (end = lab(end)).l), a2 = nogamma(start.a, end.a), b = nogamma(start.b, end.b), opacity2 = nogamma(start.opacity, end.opacity);
    return function(t) {
      start.l = l(t);
      start.a = a2(t);
      start.b = b(t);
      start.opacity = opacity2(t);
      return start + "";
    };
  }
  function hcl2(hue) {
    return function(start, end) {
      var h2 = hue((start = hcl(start)).h, (end = hcl(end)).h), c3 = nogamma(start.c, end.c), l = nogamma(start.l, end.l), opacity2 = nogamma(start.opacity, end.opacity);
      return function(t) {
        start.h = h2(t);
        start.c = c3(t);
        start.l = l(t);
        start.opacity = opacity2(t);
        return start + "";
      };
    };
  }
  var hcl_default = hcl2(hue$1);
  var hclLong = hcl2(nogamma);
  function cubehelix2(hue) {
    return (function cubehelixGamma(y2) {
      y2 = +y2;
      function cubehelix4(start, end) {
        var h2 = hue((start = cubehelix(start)).h, (end = cubehelix(end)).h), s3 = nogamma(start.s, end.s), l = nogamma(start.l, end.l), opacity2 = nogamma(start.opacity, end.opacity);
        return function(t) {
          start.h = h2(t);
          start.s = s3(t);
          start.l = l(Math.pow(t, y2));
          start.opacity = opacity2(t);
          return start + "";
        };
      }
      cubehelix4.gamma = cubehelixGamma;
      return cubehelix4;
    })(1);
  }
  var cubehelix_default = cubehelix2(hue$1);
  var cubehelixLong = cubehelix2(nogamma);
  function piecewise(interpolate, values2) {
    if (values2 === void 0) values2 = interpolate, interpolate = value;
    var i = 0, n = values2.length - 1, v = values2[0], I = new Array(n < 0 ? 0 : n);
    while (i < n) I[i] = interpolate(v, v = values2[++i]);
    return function(t) {
      var i2 = Math.max(0, Math.min(n - 1, Math.floor(t *= n)));
      return I[i2](t - i2);
    };
  }
  function quantize(interpolator, n) {
    var samples = new Array(n);
    for (var i = 0; i < n; ++i) samples[i] = interpolator(i / (n - 1));
    return samples;
  }

  // node_modules/d3-path/dist/d3-path.mjs
  var pi = Math.PI;
  var tau = 2 * pi;
  var epsilon3 = 1e-6;
  var tauEpsilon = tau - epsilon3;
  function append(strings) {
    this._ += strings[0];
    for (let i = 1, n = strings.length; i < n; ++i) {
      this._ += arguments[i] + strings[i];
    }
  }
  function appendRound(digits) {
    let d = Math.floor(digits);
    if (!(d >= 0)) throw new Error(`invalid digits: ${digits}`);
    if (d > 15) return append;
    const k2 = 10 ** d;
    return function(strings) {
      this._ += strings[0];
      for (let i = 1, n = strings.length; i < n; ++i) {
        this._ += Math.round(arguments[i] * k2) / k2 + strings[i];
      }
    };
  }
  function equal(x02, y02, x12, y12) {
    return x02 === x12 && y02 === y12;
  }
  function equalRound(digits) {
    const d = Math.floor(digits);
    if (!(d <= 15)) return equal;
    const k2 = 10 ** d;
    const r = function(value2) {
      return Math.round(value2 * k2);
    };
    return function(x02, y02, x12, y12) {
      return r(x02) === r(x12) && r(y02) === r(y12);
    };
  }
  var Path = class {
    constructor(digits) {
      this._x0 = this._y0 = // start of current subpath
      this._x1 = this._y1 = null;
      this._ = "";
      this._append = digits == null ? append : appendRound(digits);
      this._equal = digits == null ? equal : equalRound(digits);
    }
    moveTo(x2, y2) {
      this._append`M${this._x0 = this._x1 = +x2},${this._y0 = this._y1 = +y2}`;
    }
    closePath() {
      if (this._x1 !== null) {
        this._x1 = this._x0, this._y1 = this._y0;
        this._append`Z`;
      }
    }
    lineTo(x2, y2) {
      this._append`L${this._x1 = +x2},${this._y1 = +y2}`;
    }
    quadraticCurveTo(x12, y12, x2, y2) {
      this._append`Q${+x12},${+y12},${this._x1 = +x2},${this._y1 = +y2}`;
    }
    bezierCurveTo(x12, y12, x2, y2, x3, y3) {
      this._append`C${+x12},${+y12},${+x2},${+y2},${this._x1 = +x3},${this._y1 = +y3}`;
    }
    arcTo(x12, y12, x2, y2, r) {
      x12 = +x12, y12 = +y12, x2 = +x2, y2 = +y2, r = +r;
      if (r < 0) throw new Error(`negative radius: ${r}`);
      let x02 = this._x1, y02 = this._y1, x21 = x2 - x12, y21 = y2 - y12, x01 = x02 - x12, y01 = y02 - y12, l01_2 = x01 * x01 + y01 * y01;
      if (this._x1 === null) {
        this._append`M${this._x1 = x12},${this._y1 = y12}`;
      } else if (!(l01_2 > epsilon3)) ;
      else if (!(Math.abs(y01 * x21 - y21 * x01) > epsilon3) || !r) {
        this._append`L${this._x1 = x12},${this._y1 = y12}`;
      } else {
        let x20 = x2 - x02, y20 = y2 - y02, l21_2 = x21 * x21 + y21 * y21, l20_2 = x20 * x20 + y20 * y20, l21 = Math.sqrt(l21_2), l01 = Math.sqrt(l01_2), l = r * Math.tan((pi - Math.acos((l21_2 + l01_2 - l20_2) / (2 * l21 * l01))) / 2), t01 = l / l01, t21 = l / l21;
        if (Math.abs(t01 - 1) > epsilon3) {
          this._append`L${x12 + t01 * x01},${y12 + t01 * y01}`;
        }
        this._append`A${r},${r},0,0,${+(y01 * x20 > x01 * y20)},${this._x1 = x12 + t21 * x21},${this._y1 = y12 + t21 * y21}`;
      }
    }
    arc(x2, y2, r, a0, a1, ccw) {
      x2 = +x2, y2 = +y2, r = +r, ccw = !!ccw;
      if (r < 0) throw new Error(`negative radius: ${r}`);
      let dx = r * Math.cos(a0), dy = r * Math.sin(a0), x02 = x2 + dx, y02 = y2 + dy, cw = 1 ^ ccw, da = ccw ? a0 - a1 : a1 - a0;
      if (this._x1 === null) {
        this._append`M${x02},${y02}`;
      } else if (Math.abs(this._x1 - x02) > epsilon3 || Math.abs(this._y1 - y02) > epsilon3) {
        this._append`L${x02},${y02}`;
      }
      if (!r) return;
      if (da < 0) da = da % tau + tau;
      if (da > tauEpsilon) {
        this._append`A${r},${r},0,1,${cw},${x2 - dx},${y2 - dy}A${r},${r},0,1,${cw},${this._x1 = x02},${this._y1 = y02}`;
      } else if (da > epsilon3) {
        const x12 = x2 + r * Math.cos(a1);
        const y12 = y2 + r * Math.sin(a1);
        if (da >= pi && this._equal(x02, y02, x12, y12)) {
          da /= 2;
          let a00 = a0 + da;
          this._append`A${r},${r},0,${+(da >= pi)},${cw},${x2 + r * Math.cos(a00)},${y2 + r * Math.sin(a00)}`;
        }
        this._append`A${r},${r},0,${+(da >= pi)},${cw},${this._x1 = x12},${this._y1 = y12}`;
      }
    }
    rect(x2, y2, w, h2) {
      this._append`M${this._x0 = this._x1 = +x2},${this._y0 = this._y1 = +y2}h${w = +w}v${+h2}h${-w}Z`;
    }
    toString() {
      return this._;
    }
  };
  function path() {
    return new Path();
  }
  path.prototype = Path.prototype;
  function pathRound(digits = 3) {
    return new Path(+digits);
  }

  // node_modules/d3-format/dist/d3-format.mjs
  function formatDecimal(x2) {
    return Math.abs(x2 = Math.round(x2)) >= 1e21 ? x2.toLocaleString("en").replace(/,/g, "") : x2.toString(10);
  }
  function formatDecimalParts(x2, p) {
    if (!isFinite(x2) || x2 === 0) return null;
    var i = (x2 = p ? x2.toExponential(p - 1) : x2.toExponential()).indexOf("e"), coefficient = x2.slice(0, i);
    return [
      coefficient.length > 1 ? coefficient[0] + coefficient.slice(2) : coefficient,
      +x2.slice(i + 1)
    ];
  }
  function exponent(x2) {
    return x2 = formatDecimalParts(Math.abs(x2)), x2 ? x2[1] : NaN;
  }
  function formatGroup(grouping, thousands) {
    return function(value2, width) {
      var i = value2.length, t = [], j = 0, g = grouping[0], length2 = 0;
      while (i > 0 && g > 0) {
        if (length2 + g + 1 > width) g = Math.max(1, width - length2);
        t.push(value2.substring(i -= g, i + g));
        if ((length2 += g + 1) > width) break;
        g = grouping[j = (j + 1) % grouping.length];
      }
      return t.reverse().join(thousands);
    };
  }
  function formatNumerals(numerals) {
    return function(value2) {
      return value2.replace(/[0-9]/g, function(i) {
        return numerals[+i];
      });
    };
  }
  var re = /^(?:(.)?([<>=^]))?([+\-( ])?([$#])?(0)?(\d+)?(,)?(\.\d+)?(~)?([a-z%])?$/i;
  function formatSpecifier(specifier) {
    if (!(match = re.exec(specifier))) throw new Error("invalid format: " + specifier);
    var match;
    return new FormatSpecifier({
      fill: match[1],
      align: match[2],
      sign: match[3],
      symbol: match[4],
      zero: match[5],
      width: match[6],
      comma: match[7],
      precision: match[8] && match[8].slice(1),
      trim: match[9],
      type: match[10]
    });
  }
  formatSpecifier.prototype = FormatSpecifier.prototype;
  function FormatSpecifier(specifier) {
    this.fill = specifier.fill === void 0 ? " " : specifier.fill + "";
    this.align = specifier.align === void 0 ? ">" : specifier.align + "";
    this.sign = specifier.sign === void 0 ? "-" : specifier.sign + "";
    this.symbol = specifier.symbol === void 0 ? "" : specifier.symbol + "";
    this.zero = !!specifier.zero;
    this.width = specifier.width === void 0 ? void 0 : +specifier.width;
    this.comma = !!specifier.comma;
    this.precision = specifier.precision === void 0 ? void 0 : +specifier.precision;
    this.trim = !!specifier.trim;
    this.type = specifier.type === void 0 ? "" : specifier.type + "";
  }
  FormatSpecifier.prototype.toString = function() {
    return this.fill + this.align + this.sign + this.symbol + (this.zero ? "0" : "") + (this.width === void 0 ? "" : Math.max(1, this.width | 0)) + (this.comma ? "," : "") + (this.precision === void 0 ? "" : "." + Math.max(0, this.precision | 0)) + (this.trim ? "~" : "") + this.type;
  };
  function formatTrim(s3) {
    out: for (var n = s3.length, i = 1, i0 = -1, i1; i < n; ++i) {
      switch (s3[i]) {
        case ".":
          i0 = i1 = i;
          break;
        case "0":
          if (i0 === 0) i0 = i;
          i1 = i;
          break;
        default:
          if (!+s3[i]) break out;
          if (i0 > 0) i0 = 0;
          break;
      }
    }
    return i0 > 0 ? s3.slice(0, i0) + s3.slice(i1 + 1) : s3;
  }
  var prefixExponent;
  function formatPrefixAuto(x2, p) {
    var d = formatDecimalParts(x2, p);
    if (!d) return prefixExponent = void 0, x2.toPrecision(p);
    var coefficient = d[0], exponent2 = d[1], i = exponent2 - (prefixExponent = Math.max(-8, Math.min(8, Math.floor(exponent2 / 3))) * 3) + 1, n = coefficient.length;
    return i === n ? coefficient : i > n ? coefficient + new Array(i - n + 1).join("0") : i > 0 ? coefficient.slice(0, i) + "." + coefficient.slice(i) : "0." + new Array(1 - i).join("0") + formatDecimalParts(x2, Math.max(0, p + i - 1))[0];
  }
  function formatRounded(x2, p) {
    var d = formatDecimalParts(x2, p);
    if (!d) return x2 + "";
    var coefficient = d[0], exponent2 = d[1];
    return exponent2 < 0 ? "0." + new Array(-exponent2).join("0") + coefficient : coefficient.length > exponent2 + 1 ? coefficient.slice(0, exponent2 + 1) + "." + coefficient.slice(exponent2 + 1) : coefficient + new Array(exponent2 - coefficient.length + 2).join("0");
  }
  var formatTypes = {
    "%": (x2, p) => (x2 * 100).toFixed(p),
    "b": (x2) => Math.round(x2).toString(2),
    "c": (x2) => x2 + "",
    "d": formatDecimal,
    "e": (x2, p) => x2.toExponential(p),
    "f": (x2, p) => x2.toFixed(p),
    "g": (x2, p) => x2.toPrecision(p),
    "o": (x2) => Math.round(x2).toString(8),
    "p": (x2, p) => formatRounded(x2 * 100, p),
    "r": formatRounded,
    "s": formatPrefixAuto,
    "X": (x2) => Math.round(x2).toString(16).toUpperCase(),
    "x": (x2) => Math.round(x2).toString(16)
  };
  function identity4(x2) {
    return x2;
  }
  var map = Array.prototype.map;
  var prefixes = ["y", "z", "a", "f", "p", "n", "µ", "m", "", "k", "M", "G", "T", "P", "E", "Z", "Y"];
  function formatLocale(locale3) {
    var group2 = locale3.grouping === void 0 || locale3.thousands === void 0 ? identity4 : formatGroup(map.call(locale3.grouping, Number), locale3.thousands + ""), currencyPrefix = locale3.currency === void 0 ? "" : locale3.currency[0] + "", currencySuffix = locale3.currency === void 0 ? "" : locale3.currency[1] + "", decimal = locale3.decimal === void 0 ? "." : locale3.decimal + "", numerals = locale3.numerals === void 0 ? identity4 : formatNumerals(map.call(locale3.numerals, String)), percent = locale3.percent === void 0 ? "%" : locale3.percent + "", minus = locale3.minus === void 0 ? "−" : locale3.minus + "", nan = locale3.nan === void 0 ? "NaN" : locale3.nan + "";
    function newFormat(specifier, options) {
      specifier = formatSpecifier(specifier);
      var fill = specifier.fill, align = specifier.align, sign3 = specifier.sign, symbol2 = specifier.symbol, zero3 = specifier.zero, width = specifier.width, comma = specifier.comma, precision = specifier.precision, trim = specifier.trim, type = specifier.type;
      if (type === "n") comma = true, type = "g";
      else if (!formatTypes[type]) precision === void 0 && (precision = 12), trim = true, type = "g";
      if (zero3 || fill === "0" && align === "=") zero3 = true, fill = "0", align = "=";
      var prefix = (options && options.prefix !== void 0 ? options.prefix : "") + (symbol2 === "$" ? currencyPrefix : symbol2 === "#" && /[boxX]/.test(type) ? "0" + type.toLowerCase() : ""), suffix = (symbol2 === "$" ? currencySuffix : /[%p]/.test(type) ? percent : "") + (options && options.suffix !== void 0 ? options.suffix : "");
      var formatType = formatTypes[type], maybeSuffix = /[defgprs%]/.test(type);
      precision = precision === void 0 ? 6 : /[gprs]/.test(type) ? Math.max(1, Math.min(21, precision)) : Math.max(0, Math.min(20, precision));
      function format3(value2) {
        var valuePrefix = prefix, valueSuffix = suffix, i, n, c3;
        if (type === "c") {
          valueSuffix = formatType(value2) + valueSuffix;
          value2 = "";
        } else {
          value2 = +value2;
          var valueNegative = value2 < 0 || 1 / value2 < 0;
          value2 = isNaN(value2) ? nan : formatType(Math.abs(value2), precision);
          if (trim) value2 = formatTrim(value2);
          if (valueNegative && +value2 === 0 && sign3 !== "+") valueNegative = false;
          valuePrefix = (valueNegative ? sign3 === "(" ? sign3 : minus : sign3 === "-" || sign3 === "(" ? "" : sign3) + valuePrefix;
          valueSuffix = (type === "s" && !isNaN(value2) && prefixExponent !== void 0 ? prefixes[8 + prefixExponent / 3] : "") + valueSuffix + (valueNegative && sign3 === "(" ? ")" : "");
          if (maybeSuffix) {
            i = -1, n = value2.length;
            while (++i < n) {
              if (c3 = value2.charCodeAt(i), 48 > c3 || c3 > 57) {
                valueSuffix = (c3 === 46 ? decimal + value2.slice(i + 1) : value2.slice(i)) + valueSuffix;
                value2 = value2.slice(0, i);
                break;
              }
            }
          }
        }
        if (comma && !zero3) value2 = group2(value2, Infinity);
        var length2 = valuePrefix.length + value2.length + valueSuffix.length, padding = length2 < width ? new Array(width - length2 + 1).join(fill) : "";
        if (comma && zero3) value2 = group2(padding + value2, padding.length ? width - valueSuffix.length : Infinity), padding = "";
        switch (align) {
          case "<":
            value2 = valuePrefix + value2 + valueSuffix + padding;
            break;
          case "=":
            value2 = valuePrefix + padding + value2 + valueSuffix;
            break;
          case "^":
            value2 = padding.slice(0, length2 = padding.length >> 1) + valuePrefix + value2 + valueSuffix + padding.slice(length2);
            break;
          default:
            value2 = padding + valuePrefix + value2 + valueSuffix;
            break;
        }
        return numerals(value2);
      }
      format3.toString = function() {
        return specifier + "";
      };
      return format3;
    }
    function formatPrefix2(specifier, value2) {
      var e = Math.max(-8, Math.min(8, Math.floor(exponent(value2) / 3))) * 3, k2 = Math.pow(10, -e), f = newFormat((specifier = formatSpecifier(specifier), specifier.type = "f", specifier), { suffix: prefixes[8 + e / 3] });
      return function(value3) {
        return f(k2 * value3);
      };
    }
    return {
      format: newFormat,
      formatPrefix: formatPrefix2
    };
  }
  var locale;
  var format;
  var formatPrefix;
  defaultLocale({
    thousands: ",",
    grouping: [3],
    currency: ["$", ""]
  });
  function defaultLocale(definition) {
    locale = formatLocale(definition);
    format = locale.format;
    formatPrefix = locale.formatPrefix;
    return locale;
  }
  function precisionFixed(step2) {
    return Math.max(0, -exponent(Math.abs(step2)));
  }
  function precisionPrefix(step2, value2) {
    return Math.max(0, Math.max(-8, Math.min(8, Math.floor(exponent(value2) / 3))) * 3 - exponent(Math.abs(step2)));
  }
  function precisionRound(step2, max2) {
    step2 = Math.abs(step2), max2 = Math.abs(max2) - step2;
    return Math.max(0, exponent(max2) - exponent(step2)) + 1;
  }

  // node_modules/d3-geo/dist/d3-geo.mjs
  var epsilon4 = 1e-6;
  var epsilon22 = 1e-12;
  var pi2 = Math.PI;
  var halfPi = pi2 / 2;
  var quarterPi = pi2 / 4;
  var tau2 = pi2 * 2;
  var degrees3 = 180 / pi2;
  var radians2 = pi2 / 180;
  var abs = Math.abs;
  var atan = Math.atan;
  var atan2 = Math.atan2;
  var cos = Math.cos;
  var exp = Math.exp;
  var log = Math.log;
  var pow = Math.pow;
  var sin = Math.sin;
  var sign = Math.sign || function(x2) {
    return x2 > 0 ? 1 : x2 < 0 ? -1 : 0;
  };
  var sqrt = Math.sqrt;
  var tan = Math.tan;
  function acos(x2) {
    return x2 > 1 ? 0 : x2 < -1 ? pi2 : Math.acos(x2);
  }
  function asin(x2) {
    return x2 > 1 ? halfPi : x2 < -1 ? -halfPi : Math.asin(x2);
  }
  function noop() {
  }
  function streamGeometry(geometry, stream) {
    if (geometry && streamGeometryType.hasOwnProperty(geometry.type)) {
      streamGeometryType[geometry.type](geometry, stream);
    }
  }
  var streamObjectType = {
    Feature: function(object2, stream) {
      streamGeometry(object2.geometry, stream);
    },
    FeatureCollection: function(object2, stream) {
      var features = object2.features, i = -1, n = features.length;
      while (++i < n) streamGeometry(features[i].geometry, stream);
    }
  };
  var streamGeometryType = {
    Sphere: function(object2, stream) {
      stream.sphere();
    },
    Point: function(object2, stream) {
      object2 = object2.coordinates;
      stream.point(object2[0], object2[1], object2[2]);
    },
    MultiPoint: function(object2, stream) {
      var coordinates = object2.coordinates, i = -1, n = coordinates.length;
      while (++i < n) object2 = coordinates[i], stream.point(object2[0], object2[1], object2[2]);
    },
    LineString: function(object2, stream) {
      streamLine(object2.coordinates, stream, 0);
    },
    MultiLineString: function(object2, stream) {
      var coordinates = object2.coordinates, i = -1, n = coordinates.length;
      while (++i < n) streamLine(coordinates[i], stream, 0);
    },
    Polygon: function(object2, stream) {
      streamPolygon(object2.coordinates, stream);
    },
    MultiPolygon: function(object2, stream) {
      var coordinates = object2.coordinates, i = -1, n = coordinates.length;
      while (++i < n) streamPolygon(coordinates[i], stream);
    },
    GeometryCollection: function(object2, stream) {
      var geometries = object2.geometries, i = -1, n = geometries.length;
      while (++i < n) streamGeometry(geometries[i], stream);
    }
  };
  function streamLine(coordinates, stream, closed) {
    var i = -1, n = coordinates.length - closed, coordinate;
    stream.lineStart();
    while (++i < n) coordinate = coordinates[i], stream.point(coordinate[0], coordinate[1], coordinate[2]);
    stream.lineEnd();
  }
  function streamPolygon(coordinates, stream) {
    var i = -1, n = coordinates.length;
    stream.polygonStart();
    while (++i < n) streamLine(coordinates[i], stream, 1);
    stream.polygonEnd();
  }
  function geoStream(object2, stream) {
    if (object2 && streamObjectType.hasOwnProperty(object2.type)) {
      streamObjectType[object2.type](object2, stream);
    } else {
      streamGeometry(object2, stream);
    }
  }
  var areaRingSum$1 = new Adder();
  var areaSum$1 = new Adder();
  function spherical(cartesian2) {
    return [atan2(cartesian2[1], cartesian2[0]), asin(cartesian2[2])];
  }
  function cartesian(spherical2) {
    var lambda = spherical2[0], phi = spherical2[1], cosPhi = cos(phi);
    return [cosPhi * cos(lambda), cosPhi * sin(lambda), sin(phi)];
  }
  function cartesianDot(a2, b) {
    return a2[0] * b[0] + a2[1] * b[1] + a2[2] * b[2];
  }
  function cartesianCross(a2, b) {
    return [a2[1] * b[2] - a2[2] * b[1], a2[2] * b[0] - a2[0] * b[2], a2[0] * b[1] - a2[1] * b[0]];
  }
  function cartesianAddInPlace(a2, b) {
    a2[0] += b[0], a2[1] += b[1], a2[2] += b[2];
  }
  function cartesianScale(vector, k2) {
    return [vector[0] * k2, vector[1] * k2, vector[2] * k2];
  }
  function cartesianNormalizeInPlace(d) {
    var l = sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
    d[0] /= l, d[1] /= l, d[2] /= l;
  }
  function compose(a2, b) {
    function compose2(x2, y2) {
      return x2 = a2(x2, y2), b(x2[0], x2[1]);
    }
    if (a2.invert && b.invert) compose2.invert = function(x2, y2) {
      return x2 = b.invert(x2, y2), x2 && a2.invert(x2[0], x2[1]);
    };
    return compose2;
  }
  function rotationIdentity(lambda, phi) {
    if (abs(lambda) > pi2) lambda -= Math.round(lambda / tau2) * tau2;
    return [lambda, phi];
  }
  rotationIdentity.invert = rotationIdentity;
  function rotateRadians(deltaLambda, deltaPhi, deltaGamma) {
    return (deltaLambda %= tau2) ? deltaPhi || deltaGamma ? compose(rotationLambda(deltaLambda), rotationPhiGamma(deltaPhi, deltaGamma)) : rotationLambda(deltaLambda) : deltaPhi || deltaGamma ? rotationPhiGamma(deltaPhi, deltaGamma) : rotationIdentity;
  }
  function forwardRotationLambda(deltaLambda) {
    return function(lambda, phi) {
      lambda += deltaLambda;
      if (abs(lambda) > pi2) lambda -= Math.round(lambda / tau2) * tau2;
      return [lambda, phi];
    };
  }
  function rotationLambda(deltaLambda) {
    var rotation2 = forwardRotationLambda(deltaLambda);
    rotation2.invert = forwardRotationLambda(-deltaLambda);
    return rotation2;
  }
  function rotationPhiGamma(deltaPhi, deltaGamma) {
    var cosDeltaPhi = cos(deltaPhi), sinDeltaPhi = sin(deltaPhi), cosDeltaGamma = cos(deltaGamma), sinDeltaGamma = sin(deltaGamma);
    function rotation2(lambda, phi) {
      var cosPhi = cos(phi), x2 = cos(lambda) * cosPhi, y2 = sin(lambda) * cosPhi, z2 = sin(phi), k2 = z2 * cosDeltaPhi + x2 * sinDeltaPhi;
      return [
        atan2(y2 * cosDeltaGamma - k2 * sinDeltaGamma, x2 * cosDeltaPhi - z2 * sinDeltaPhi),
        asin(k2 * cosDeltaGamma + y2 * sinDeltaGamma)
      ];
    }
    rotation2.invert = function(lambda, phi) {
      var cosPhi = cos(phi), x2 = cos(lambda) * cosPhi, y2 = sin(lambda) * cosPhi, z2 = sin(phi), k2 = z2 * cosDeltaGamma - y2 * sinDeltaGamma;
      return [
        atan2(y2 * cosDeltaGamma + z2 * sinDeltaGamma, x2 * cosDeltaPhi + k2 * sinDeltaPhi),
        asin(k2 * cosDeltaPhi - x2 * sinDeltaPhi)
      ];
    };
    return rotation2;
  }
  function rotation(rotate) {
    rotate = rotateRadians(rotate[0] * radians2, rotate[1] * radians2, rotate.length > 2 ? rotate[2] * radians2 : 0);
    function forward(coordinates) {
      coordinates = rotate(coordinates[0] * radians2, coordinates[1] * radians2);
      return coordinates[0] *= degrees3, coordinates[1] *= degrees3, coordinates;
    }
    forward.invert = function(coordinates) {
      coordinates = rotate.invert(coordinates[0] * radians2, coordinates[1] * radians2);
      return coordinates[0] *= degrees3, coordinates[1] *= degrees3, coordinates;
    };
    return forward;
  }
  function circleStream(stream, radius2, delta, direction, t03, t13) {
    if (!delta) return;
    var cosRadius = cos(radius2), sinRadius = sin(radius2), step2 = direction * delta;
    if (t03 == null) {
      t03 = radius2 + direction * tau2;
      t13 = radius2 - step2 / 2;
    } else {
      t03 = circleRadius(cosRadius, t03);
      t13 = circleRadius(cosRadius, t13);
      if (direction > 0 ? t03 < t13 : t03 > t13) t03 += direction * tau2;
    }
    for (var point3, t = t03; direction > 0 ? t > t13 : t < t13; t -= step2) {
      point3 = spherical([cosRadius, -sinRadius * cos(t), -sinRadius * sin(t)]);
      stream.point(point3[0], point3[1]);
    }
  }
  function circleRadius(cosRadius, point3) {
    point3 = cartesian(point3), point3[0] -= cosRadius;
    cartesianNormalizeInPlace(point3);
    var radius2 = acos(-point3[1]);
    return ((-point3[2] < 0 ? -radius2 : radius2) + tau2 - epsilon4) % tau2;
  }
  function clipBuffer() {
    var lines = [], line4;
    return {
      point: function(x2, y2, m) {
        line4.push([x2, y2, m]);
      },
      lineStart: function() {
        lines.push(line4 = []);
      },
      lineEnd: noop,
      rejoin: function() {
        if (lines.length > 1) lines.push(lines.pop().concat(lines.shift()));
      },
      result: function() {
        var result = lines;
        lines = [];
        line4 = null;
        return result;
      }
    };
  }
  function pointEqual(a2, b) {
    return abs(a2[0] - b[0]) < epsilon4 && abs(a2[1] - b[1]) < epsilon4;
  }
  function Intersection(point3, points, other, entry2) {
    this.x = point3;
    this.z = points;
    this.o = other;
    this.e = entry2;
    this.v = false;
    this.n = this.p = null;
  }
  function clipRejoin(segments, compareIntersection2, startInside, interpolate, stream) {
    var subject = [], clip2 = [], i, n;
    segments.forEach(function(segment) {
      if ((n2 = segment.length - 1) <= 0) return;
      var n2, p0 = segment[0], p1 = segment[n2], x2;
      if (pointEqual(p0, p1)) {
        if (!p0[2] && !p1[2]) {
          stream.lineStart();
          for (i = 0; i < n2; ++i) stream.point((p0 = segment[i])[0], p0[1]);
          stream.lineEnd();
          return;
        }
        p1[0] += 2 * epsilon4;
      }
      subject.push(x2 = new Intersection(p0, segment, null, true));
      clip2.push(x2.o = new Intersection(p0, null, x2, false));
      subject.push(x2 = new Intersection(p1, segment, null, false));
      clip2.push(x2.o = new Intersection(p1, null, x2, true));
    });
    if (!subject.length) return;
    clip2.sort(compareIntersection2);
    link(subject);
    link(clip2);
    for (i = 0, n = clip2.length; i < n; ++i) {
      clip2[i].e = startInside = !startInside;
    }
    var start = subject[0], points, point3;
    while (1) {
      var current = start, isSubject = true;
      while (current.v) if ((current = current.n) === start) return;
      points = current.z;
      stream.lineStart();
      do {
        current.v = current.o.v = true;
        if (current.e) {
          if (isSubject) {
            for (i = 0, n = points.length; i < n; ++i) stream.point((point3 = points[i])[0], point3[1]);
          } else {
            interpolate(current.x, current.n.x, 1, stream);
          }
          current = current.n;
        } else {
          if (isSubject) {
            points = current.p.z;
            for (i = points.length - 1; i >= 0; --i) stream.point((point3 = points[i])[0], point3[1]);
          } else {
            interpolate(current.x, current.p.x, -1, stream);
          }
          current = current.p;
        }
        current = current.o;
        points = current.z;
        isSubject = !isSubject;
      } while (!current.v);
      stream.lineEnd();
    }
  }
  function link(array4) {
    if (!(n = array4.length)) return;
    var n, i = 0, a2 = array4[0], b;
    while (++i < n) {
      a2.n = b = array4[i];
      b.p = a2;
      a2 = b;
    }
    a2.n = b = array4[0];
    b.p = a2;
  }
  function longitude(point3) {
    return abs(point3[0]) <= pi2 ? point3[0] : sign(point3[0]) * ((abs(point3[0]) + pi2) % tau2 - pi2);
  }
  function polygonContains(polygon, point3) {
    var lambda = longitude(point3), phi = point3[1], sinPhi = sin(phi), normal = [sin(lambda), -cos(lambda), 0], angle = 0, winding = 0;
    var sum3 = new Adder();
    if (sinPhi === 1) phi = halfPi + epsilon4;
    else if (sinPhi === -1) phi = -halfPi - epsilon4;
    for (var i = 0, n = polygon.length; i < n; ++i) {
      if (!(m = (ring = polygon[i]).length)) continue;
      var ring, m, point0 = ring[m - 1], lambda0 = longitude(point0), phi0 = point0[1] / 2 + quarterPi, sinPhi0 = sin(phi0), cosPhi0 = cos(phi0);
      for (var j = 0; j < m; ++j, lambda0 = lambda1, sinPhi0 = sinPhi1, cosPhi0 = cosPhi1, point0 = point1) {
        var point1 = ring[j], lambda1 = longitude(point1), phi1 = point1[1] / 2 + quarterPi, sinPhi1 = sin(phi1), cosPhi1 = cos(phi1), delta = lambda1 - lambda0, sign3 = delta >= 0 ? 1 : -1, absDelta = sign3 * delta, antimeridian = absDelta > pi2, k2 = sinPhi0 * sinPhi1;
        sum3.add(atan2(k2 * sign3 * sin(absDelta), cosPhi0 * cosPhi1 + k2 * cos(absDelta)));
        angle += antimeridian ? delta + sign3 * tau2 : delta;
        if (antimeridian ^ lambda0 >= lambda ^ lambda1 >= lambda) {
          var arc = cartesianCross(cartesian(point0), cartesian(point1));
          cartesianNormalizeInPlace(arc);
          var intersection = cartesianCross(normal, arc);
          cartesianNormalizeInPlace(intersection);
          var phiArc = (antimeridian ^ delta >= 0 ? -1 : 1) * asin(intersection[2]);
          if (phi > phiArc || phi === phiArc && (arc[0] || arc[1])) {
            winding += antimeridian ^ delta >= 0 ? 1 : -1;
          }
        }
      }
    }
    return (angle < -epsilon4 || angle < epsilon4 && sum3 < -epsilon22) ^ winding & 1;
  }
  function clip(pointVisible, clipLine2, interpolate, start) {
    return function(sink) {
      var line4 = clipLine2(sink), ringBuffer = clipBuffer(), ringSink = clipLine2(ringBuffer), polygonStarted = false, polygon, segments, ring;
      var clip2 = {
        point: point3,
        lineStart,
        lineEnd,
        polygonStart: function() {
          clip2.point = pointRing;
          clip2.lineStart = ringStart;
          clip2.lineEnd = ringEnd;
          segments = [];
          polygon = [];
        },
        polygonEnd: function() {
          clip2.point = point3;
          clip2.lineStart = lineStart;
          clip2.lineEnd = lineEnd;
          segments = merge(segments);
          var startInside = polygonContains(polygon, start);
          if (segments.length) {
            if (!polygonStarted) sink.polygonStart(), polygonStarted = true;
            clipRejoin(segments, compareIntersection, startInside, interpolate, sink);
          } else if (startInside) {
            if (!polygonStarted) sink.polygonStart(), polygonStarted = true;
            sink.lineStart();
            interpolate(null, null, 1, sink);
            sink.lineEnd();
          }
          if (polygonStarted) sink.polygonEnd(), polygonStarted = false;
          segments = polygon = null;
        },
        sphere: function() {
          sink.polygonStart();
          sink.lineStart();
          interpolate(null, null, 1, sink);
          sink.lineEnd();
          sink.polygonEnd();
        }
      };
      function point3(lambda, phi) {
        if (pointVisible(lambda, phi)) sink.point(lambda, phi);
      }
      function pointLine(lambda, phi) {
        line4.point(lambda, phi);
      }
      function lineStart() {
        clip2.point = pointLine;
        line4.lineStart();
      }
      function lineEnd() {
        clip2.point = point3;
        line4.lineEnd();
      }
      function pointRing(lambda, phi) {
        ring.push([lambda, phi]);
        ringSink.point(lambda, phi);
      }
      function ringStart() {
        ringSink.lineStart();
        ring = [];
      }
      function ringEnd() {
        pointRing(ring[0][0], ring[0][1]);
        ringSink.lineEnd();
        var clean = ringSink.clean(), ringSegments = ringBuffer.result(), i, n = ringSegments.length, m, segment, point4;
        ring.pop();
        polygon.push(ring);
        ring = null;
        if (!n) return;
        if (clean & 1) {
          segment = ringSegments[0];
          if ((m = segment.length - 1) > 0) {
            if (!polygonStarted) sink.polygonStart(), polygonStarted = true;
            sink.lineStart();
            for (i = 0; i < m; ++i) sink.point((point4 = segment[i])[0], point4[1]);
            sink.lineEnd();
          }
          return;
        }
        if (n > 1 && clean & 2) ringSegments.push(ringSegments.pop().concat(ringSegments.shift()));
        segments.push(ringSegments.filter(validSegment));
      }
      return clip2;
    };
  }
  function validSegment(segment) {
    return segment.length > 1;
  }
  function compareIntersection(a2, b) {
    return ((a2 = a2.x)[0] < 0 ? a2[1] - halfPi - epsilon4 : halfPi - a2[1]) - ((b = b.x)[0] < 0 ? b[1] - halfPi - epsilon4 : halfPi - b[1]);
  }
  var clipAntimeridian = clip(
    function() {
      return true;
    },
    clipAntimeridianLine,
    clipAntimeridianInterpolate,
    [-pi2, -halfPi]
  );
  function clipAntimeridianLine(stream) {
    var lambda0 = NaN, phi0 = NaN, sign0 = NaN, clean;
    return {
      lineStart: function() {
        stream.lineStart();
        clean = 1;
      },
      point: function(lambda1, phi1) {
        var sign1 = lambda1 > 0 ? pi2 : -pi2, delta = abs(lambda1 - lambda0);
        if (abs(delta - pi2) < epsilon4) {
          stream.point(lambda0, phi0 = (phi0 + phi1) / 2 > 0 ? halfPi : -halfPi);
          stream.point(sign0, phi0);
          stream.lineEnd();
          stream.lineStart();
          stream.point(sign1, phi0);
          stream.point(lambda1, phi0);
          clean = 0;
        } else if (sign0 !== sign1 && delta >= pi2) {
          if (abs(lambda0 - sign0) < epsilon4) lambda0 -= sign0 * epsilon4;
          if (abs(lambda1 - sign1) < epsilon4) lambda1 -= sign1 * epsilon4;
          phi0 = clipAntimeridianIntersect(lambda0, phi0, lambda1, phi1);
          stream.point(sign0, phi0);
          stream.lineEnd();
          stream.lineStart();
          stream.point(sign1, phi0);
          clean = 0;
        }
        stream.point(lambda0 = lambda1, phi0 = phi1);
        sign0 = sign1;
      },
      lineEnd: function() {
        stream.lineEnd();
        lambda0 = phi0 = NaN;
      },
      clean: function() {
        return 2 - clean;
      }
    };
  }
  function clipAntimeridianIntersect(lambda0, phi0, lambda1, phi1) {
    var cosPhi0, cosPhi1, sinLambda0Lambda1 = sin(lambda0 - lambda1);
    return abs(sinLambda0Lambda1) > epsilon4 ? atan((sin(phi0) * (cosPhi1 = cos(phi1)) * sin(lambda1) - sin(phi1) * (cosPhi0 = cos(phi0)) * sin(lambda0)) / (cosPhi0 * cosPhi1 * sinLambda0Lambda1)) : (phi0 + phi1) / 2;
  }
  function clipAntimeridianInterpolate(from, to, direction, stream) {
    var phi;
    if (from == null) {
      phi = direction * halfPi;
      stream.point(-pi2, phi);
      stream.point(0, phi);
      stream.point(pi2, phi);
      stream.point(pi2, 0);
      stream.point(pi2, -phi);
      stream.point(0, -phi);
      stream.point(-pi2, -phi);
      stream.point(-pi2, 0);
      stream.point(-pi2, phi);
    } else if (abs(from[0] - to[0]) > epsilon4) {
      var lambda = from[0] < to[0] ? pi2 : -pi2;
      phi = direction * lambda / 2;
      stream.point(-lambda, phi);
      stream.point(0, phi);
      stream.point(lambda, phi);
    } else {
      stream.point(to[0], to[1]);
    }
  }
  function clipCircle(radius2) {
    var cr2 = cos(radius2), delta = 2 * radians2, smallRadius = cr2 > 0, notHemisphere = abs(cr2) > epsilon4;
    function interpolate(from, to, direction, stream) {
      circleStream(stream, radius2, delta, direction, from, to);
    }
    function visible(lambda, phi) {
      return cos(lambda) * cos(phi) > cr2;
    }
    function clipLine2(stream) {
      var point0, c0, v0, v00, clean;
      return {
        lineStart: function() {
          v00 = v0 = false;
          clean = 1;
        },
        point: function(lambda, phi) {
          var point1 = [lambda, phi], point22, v = visible(lambda, phi), c3 = smallRadius ? v ? 0 : code(lambda, phi) : v ? code(lambda + (lambda < 0 ? pi2 : -pi2), phi) : 0;
          if (!point0 && (v00 = v0 = v)) stream.lineStart();
          if (v !== v0) {
            point22 = intersect(point0, point1);
            if (!point22 || pointEqual(point0, point22) || pointEqual(point1, point22))
              point1[2] = 1;
          }
          if (v !== v0) {
            clean = 0;
            if (v) {
              stream.lineStart();
              point22 = intersect(point1, point0);
              stream.point(point22[0], point22[1]);
            } else {
              point22 = intersect(point0, point1);
              stream.point(point22[0], point22[1], 2);
              stream.lineEnd();
            }
            point0 = point22;
          } else if (notHemisphere && point0 && smallRadius ^ v) {
            var t;
            if (!(c3 & c0) && (t = intersect(point1, point0, true))) {
              clean = 0;
              if (smallRadius) {
                stream.lineStart();
                stream.point(t[0][0], t[0][1]);
                stream.point(t[1][0], t[1][1]);
                stream.lineEnd();
              } else {
                stream.point(t[1][0], t[1][1]);
                stream.lineEnd();
                stream.lineStart();
                stream.point(t[0][0], t[0][1], 3);
              }
            }
          }
          if (v && (!point0 || !pointEqual(point0, point1))) {
            stream.point(point1[0], point1[1]);
          }
          point0 = point1, v0 = v, c0 = c3;
        },
        lineEnd: function() {
          if (v0) stream.lineEnd();
          point0 = null;
        },
        // Rejoin first and last segments if there were intersections and the first
        // and last points were visible.
        clean: function() {
          return clean | (v00 && v0) << 1;
        }
      };
    }
    function intersect(a2, b, two) {
      var pa = cartesian(a2), pb = cartesian(b);
      var n1 = [1, 0, 0], n2 = cartesianCross(pa, pb), n2n2 = cartesianDot(n2, n2), n1n2 = n2[0], determinant = n2n2 - n1n2 * n1n2;
      if (!determinant) return !two && a2;
      var c1 = cr2 * n2n2 / determinant, c22 = -cr2 * n1n2 / determinant, n1xn2 = cartesianCross(n1, n2), A6 = cartesianScale(n1, c1), B2 = cartesianScale(n2, c22);
      cartesianAddInPlace(A6, B2);
      var u = n1xn2, w = cartesianDot(A6, u), uu = cartesianDot(u, u), t22 = w * w - uu * (cartesianDot(A6, A6) - 1);
      if (t22 < 0) return;
      var t = sqrt(t22), q2 = cartesianScale(u, (-w - t) / uu);
      cartesianAddInPlace(q2, A6);
      q2 = spherical(q2);
      if (!two) return q2;
      var lambda0 = a2[0], lambda1 = b[0], phi0 = a2[1], phi1 = b[1], z2;
      if (lambda1 < lambda0) z2 = lambda0, lambda0 = lambda1, lambda1 = z2;
      var delta2 = lambda1 - lambda0, polar = abs(delta2 - pi2) < epsilon4, meridian = polar || delta2 < epsilon4;
      if (!polar && phi1 < phi0) z2 = phi0, phi0 = phi1, phi1 = z2;
      if (meridian ? polar ? phi0 + phi1 > 0 ^ q2[1] < (abs(q2[0] - lambda0) < epsilon4 ? phi0 : phi1) : phi0 <= q2[1] && q2[1] <= phi1 : delta2 > pi2 ^ (lambda0 <= q2[0] && q2[0] <= lambda1)) {
        var q1 = cartesianScale(u, (-w + t) / uu);
        cartesianAddInPlace(q1, A6);
        return [q2, spherical(q1)];
      }
    }
    function code(lambda, phi) {
      var r = smallRadius ? radius2 : pi2 - radius2, code2 = 0;
      if (lambda < -r) code2 |= 1;
      else if (lambda > r) code2 |= 2;
      if (phi < -r) code2 |= 4;
      else if (phi > r) code2 |= 8;
      return code2;
    }
    return clip(visible, clipLine2, interpolate, smallRadius ? [0, -radius2] : [-pi2, radius2 - pi2]);
  }
  function clipLine(a2, b, x02, y02, x12, y12) {
    var ax = a2[0], ay = a2[1], bx = b[0], by = b[1], t03 = 0, t13 = 1, dx = bx - ax, dy = by - ay, r;
    r = x02 - ax;
    if (!dx && r > 0) return;
    r /= dx;
    if (dx < 0) {
      if (r < t03) return;
      if (r < t13) t13 = r;
    } else if (dx > 0) {
      if (r > t13) return;
      if (r > t03) t03 = r;
    }
    r = x12 - ax;
    if (!dx && r < 0) return;
    r /= dx;
    if (dx < 0) {
      if (r > t13) return;
      if (r > t03) t03 = r;
    } else if (dx > 0) {
      if (r < t03) return;
      if (r < t13) t13 = r;
    }
    r = y02 - ay;
    if (!dy && r > 0) return;
    r /= dy;
    if (dy < 0) {
      if (r < t03) return;
      if (r < t13) t13 = r;
    } else if (dy > 0) {
      if (r > t13) return;
      if (r > t03) t03 = r;
    }
    r = y12 - ay;
    if (!dy && r < 0) return;
    r /= dy;
    if (dy < 0) {
      if (r > t13) return;
      if (r > t03) t03 = r;
    } else if (dy > 0) {
      if (r < t03) return;
      if (r < t13) t13 = r;
    }
    if (t03 > 0) a2[0] = ax + t03 * dx, a2[1] = ay + t03 * dy;
    if (t13 < 1) b[0] = ax + t13 * dx, b[1] = ay + t13 * dy;
    return true;
  }
  var clipMax = 1e9;
  var clipMin = -clipMax;
  function clipRectangle(x02, y02, x12, y12) {
    function visible(x2, y2) {
      return x02 <= x2 && x2 <= x12 && y02 <= y2 && y2 <= y12;
    }
    function interpolate(from, to, direction, stream) {
      var a2 = 0, a1 = 0;
      if (from == null || (a2 = corner(from, direction)) !== (a1 = corner(to, direction)) || comparePoint(from, to) < 0 ^ direction > 0) {
        do
          stream.point(a2 === 0 || a2 === 3 ? x02 : x12, a2 > 1 ? y12 : y02);
        while ((a2 = (a2 + direction + 4) % 4) !== a1);
      } else {
        stream.point(to[0], to[1]);
      }
    }
    function corner(p, direction) {
      return abs(p[0] - x02) < epsilon4 ? direction > 0 ? 0 : 3 : abs(p[0] - x12) < epsilon4 ? direction > 0 ? 2 : 1 : abs(p[1] - y02) < epsilon4 ? direction > 0 ? 1 : 0 : direction > 0 ? 3 : 2;
    }
    function compareIntersection2(a2, b) {
      return comparePoint(a2.x, b.x);
    }
    function comparePoint(a2, b) {
      var ca = corner(a2, 1), cb = corner(b, 1);
      return ca !== cb ? ca - cb : ca === 0 ? b[1] - a2[1] : ca === 1 ? a2[0] - b[0] : ca === 2 ? a2[1] - b[1] : b[0] - a2[0];
    }
    return function(stream) {
      var activeStream = stream, bufferStream = clipBuffer(), segments, polygon, ring, x__, y__, v__, x_, y_, v_, first2, clean;
      var clipStream = {
        point: point3,
        lineStart,
        lineEnd,
        polygonStart,
        polygonEnd
      };
      function point3(x2, y2) {
        if (visible(x2, y2)) activeStream.point(x2, y2);
      }
      function polygonInside() {
        var winding = 0;
        for (var i = 0, n = polygon.length; i < n; ++i) {
          for (var ring2 = polygon[i], j = 1, m = ring2.length, point4 = ring2[0], a0, a1, b0 = point4[0], b1 = point4[1]; j < m; ++j) {
            a0 = b0, a1 = b1, point4 = ring2[j], b0 = point4[0], b1 = point4[1];
            if (a1 <= y12) {
              if (b1 > y12 && (b0 - a0) * (y12 - a1) > (b1 - a1) * (x02 - a0)) ++winding;
            } else {
              if (b1 <= y12 && (b0 - a0) * (y12 - a1) < (b1 - a1) * (x02 - a0)) --winding;
            }
          }
        }
        return winding;
      }
      function polygonStart() {
        activeStream = bufferStream, segments = [], polygon = [], clean = true;
      }
      function polygonEnd() {
        var startInside = polygonInside(), cleanInside = clean && startInside, visible2 = (segments = merge(segments)).length;
        if (cleanInside || visible2) {
          stream.polygonStart();
          if (cleanInside) {
            stream.lineStart();
            interpolate(null, null, 1, stream);
            stream.lineEnd();
          }
          if (visible2) {
            clipRejoin(segments, compareIntersection2, startInside, interpolate, stream);
          }
          stream.polygonEnd();
        }
        activeStream = stream, segments = polygon = ring = null;
      }
      function lineStart() {
        clipStream.point = linePoint;
        if (polygon) polygon.push(ring = []);
        first2 = true;
        v_ = false;
        x_ = y_ = NaN;
      }
      function lineEnd() {
        if (segments) {
          linePoint(x__, y__);
          if (v__ && v_) bufferStream.rejoin();
          segments.push(bufferStream.result());
        }
        clipStream.point = point3;
        if (v_) activeStream.lineEnd();
      }
      function linePoint(x2, y2) {
        var v = visible(x2, y2);
        if (polygon) ring.push([x2, y2]);
        if (first2) {
          x__ = x2, y__ = y2, v__ = v;
          first2 = false;
          if (v) {
            activeStream.lineStart();
            activeStream.point(x2, y2);
          }
        } else {
          if (v && v_) activeStream.point(x2, y2);
          else {
            var a2 = [x_ = Math.max(clipMin, Math.min(clipMax, x_)), y_ = Math.max(clipMin, Math.min(clipMax, y_))], b = [x2 = Math.max(clipMin, Math.min(clipMax, x2)), y2 = Math.max(clipMin, Math.min(clipMax, y2))];
            if (clipLine(a2, b, x02, y02, x12, y12)) {
              if (!v_) {
                activeStream.lineStart();
                activeStream.point(a2[0], a2[1]);
              }
              activeStream.point(b[0], b[1]);
              if (!v) activeStream.lineEnd();
              clean = false;
            } else if (v) {
              activeStream.lineStart();
              activeStream.point(x2, y2);
              clean = false;
            }
          }
        }
        x_ = x2, y_ = y2, v_ = v;
      }
      return clipStream;
    };
  }
  var identity$1 = (x2) => x2;
  var areaSum = new Adder();
  var areaRingSum = new Adder();
  var x00$2;
  var y00$2;
  var x0$3;
  var y0$3;
  var areaStream = {
    point: noop,
    lineStart: noop,
    lineEnd: noop,
    polygonStart: function() {
      areaStream.lineStart = areaRingStart;
      areaStream.lineEnd = areaRingEnd;
    },
    polygonEnd: function() {
      areaStream.lineStart = areaStream.lineEnd = areaStream.point = noop;
      areaSum.add(abs(areaRingSum));
      areaRingSum = new Adder();
    },
    result: function() {
      var area3 = areaSum / 2;
      areaSum = new Adder();
      return area3;
    }
  };
  function areaRingStart() {
    areaStream.point = areaPointFirst;
  }
  function areaPointFirst(x2, y2) {
    areaStream.point = areaPoint;
    x00$2 = x0$3 = x2, y00$2 = y0$3 = y2;
  }
  function areaPoint(x2, y2) {
    areaRingSum.add(y0$3 * x2 - x0$3 * y2);
    x0$3 = x2, y0$3 = y2;
  }
  function areaRingEnd() {
    areaPoint(x00$2, y00$2);
  }
  var x0$2 = Infinity;
  var y0$2 = x0$2;
  var x1 = -x0$2;
  var y1 = x1;
  var boundsStream = {
    point: boundsPoint,
    lineStart: noop,
    lineEnd: noop,
    polygonStart: noop,
    polygonEnd: noop,
    result: function() {
      var bounds = [[x0$2, y0$2], [x1, y1]];
      x1 = y1 = -(y0$2 = x0$2 = Infinity);
      return bounds;
    }
  };
  function boundsPoint(x2, y2) {
    if (x2 < x0$2) x0$2 = x2;
    if (x2 > x1) x1 = x2;
    if (y2 < y0$2) y0$2 = y2;
    if (y2 > y1) y1 = y2;
  }
  var X0 = 0;
  var Y0 = 0;
  var Z0 = 0;
  var X1 = 0;
  var Y1 = 0;
  var Z1 = 0;
  var X2 = 0;
  var Y2 = 0;
  var Z2 = 0;
  var x00$1;
  var y00$1;
  var x0$1;
  var y0$1;
  var centroidStream = {
    point: centroidPoint,
    lineStart: centroidLineStart,
    lineEnd: centroidLineEnd,
    polygonStart: function() {
      centroidStream.lineStart = centroidRingStart;
      centroidStream.lineEnd = centroidRingEnd;
    },
    polygonEnd: function() {
      centroidStream.point = centroidPoint;
      centroidStream.lineStart = centroidLineStart;
      centroidStream.lineEnd = centroidLineEnd;
    },
    result: function() {
      var centroid = Z2 ? [X2 / Z2, Y2 / Z2] : Z1 ? [X1 / Z1, Y1 / Z1] : Z0 ? [X0 / Z0, Y0 / Z0] : [NaN, NaN];
      X0 = Y0 = Z0 = X1 = Y1 = Z1 = X2 = Y2 = Z2 = 0;
      return centroid;
    }
  };
  function centroidPoint(x2, y2) {
    X0 += x2;
    Y0 += y2;
    ++Z0;
  }
  function centroidLineStart() {
    centroidStream.point = centroidPointFirstLine;
  }
  function centroidPointFirstLine(x2, y2) {
    centroidStream.point = centroidPointLine;
    centroidPoint(x0$1 = x2, y0$1 = y2);
  }
  function centroidPointLine(x2, y2) {
    var dx = x2 - x0$1, dy = y2 - y0$1, z2 = sqrt(dx * dx + dy * dy);
    X1 += z2 * (x0$1 + x2) / 2;
    Y1 += z2 * (y0$1 + y2) / 2;
    Z1 += z2;
    centroidPoint(x0$1 = x2, y0$1 = y2);
  }
  function centroidLineEnd() {
    centroidStream.point = centroidPoint;
  }
  function centroidRingStart() {
    centroidStream.point = centroidPointFirstRing;
  }
  function centroidRingEnd() {
    centroidPointRing(x00$1, y00$1);
  }
  function centroidPointFirstRing(x2, y2) {
    centroidStream.point = centroidPointRing;
    centroidPoint(x00$1 = x0$1 = x2, y00$1 = y0$1 = y2);
  }
  function centroidPointRing(x2, y2) {
    var dx = x2 - x0$1, dy = y2 - y0$1, z2 = sqrt(dx * dx + dy * dy);
    X1 += z2 * (x0$1 + x2) / 2;
    Y1 += z2 * (y0$1 + y2) / 2;
    Z1 += z2;
    z2 = y0$1 * x2 - x0$1 * y2;
    X2 += z2 * (x0$1 + x2);
    Y2 += z2 * (y0$1 + y2);
    Z2 += z2 * 3;
    centroidPoint(x0$1 = x2, y0$1 = y2);
  }
  function PathContext(context) {
    this._context = context;
  }
  PathContext.prototype = {
    _radius: 4.5,
    pointRadius: function(_) {
      return this._radius = _, this;
    },
    polygonStart: function() {
      this._line = 0;
    },
    polygonEnd: function() {
      this._line = NaN;
    },
    lineStart: function() {
      this._point = 0;
    },
    lineEnd: function() {
      if (this._line === 0) this._context.closePath();
      this._point = NaN;
    },
    point: function(x2, y2) {
      switch (this._point) {
        case 0: {
          this._context.moveTo(x2, y2);
          this._point = 1;
          break;
        }
        case 1: {
          this._context.lineTo(x2, y2);
          break;
        }
        default: {
          this._context.moveTo(x2 + this._radius, y2);
          this._context.arc(x2, y2, this._radius, 0, tau2);
          break;
        }
      }
    },
    result: noop
  };
  var lengthSum = new Adder();
  var lengthRing;
  var x00;
  var y00;
  var x0;
  var y0;
  var lengthStream = {
    point: noop,
    lineStart: function() {
      lengthStream.point = lengthPointFirst;
    },
    lineEnd: function() {
      if (lengthRing) lengthPoint(x00, y00);
      lengthStream.point = noop;
    },
    polygonStart: function() {
      lengthRing = true;
    },
    polygonEnd: function() {
      lengthRing = null;
    },
    result: function() {
      var length2 = +lengthSum;
      lengthSum = new Adder();
      return length2;
    }
  };
  function lengthPointFirst(x2, y2) {
    lengthStream.point = lengthPoint;
    x00 = x0 = x2, y00 = y0 = y2;
  }
  function lengthPoint(x2, y2) {
    x0 -= x2, y0 -= y2;
    lengthSum.add(sqrt(x0 * x0 + y0 * y0));
    x0 = x2, y0 = y2;
  }
  var cacheDigits;
  var cacheAppend;
  var cacheRadius;
  var cacheCircle;
  var PathString = class {
    constructor(digits) {
      this._append = digits == null ? append2 : appendRound2(digits);
      this._radius = 4.5;
      this._ = "";
    }
    pointRadius(_) {
      this._radius = +_;
      return this;
    }
    polygonStart() {
      this._line = 0;
    }
    polygonEnd() {
      this._line = NaN;
    }
    lineStart() {
      this._point = 0;
    }
    lineEnd() {
      if (this._line === 0) this._ += "Z";
      this._point = NaN;
    }
    point(x2, y2) {
      switch (this._point) {
        case 0: {
          this._append`M${x2},${y2}`;
          this._point = 1;
          break;
        }
        case 1: {
          this._append`L${x2},${y2}`;
          break;
        }
        default: {
          this._append`M${x2},${y2}`;
          if (this._radius !== cacheRadius || this._append !== cacheAppend) {
            const r = this._radius;
            const s3 = this._;
            this._ = "";
            this._append`m0,${r}a${r},${r} 0 1,1 0,${-2 * r}a${r},${r} 0 1,1 0,${2 * r}z`;
            cacheRadius = r;
            cacheAppend = this._append;
            cacheCircle = this._;
            this._ = s3;
          }
          this._ += cacheCircle;
          break;
        }
      }
    }
    result() {
      const result = this._;
      this._ = "";
      return result.length ? result : null;
    }
  };
  function append2(strings) {
    let i = 1;
    this._ += strings[0];
    for (const j = strings.length; i < j; ++i) {
      this._ += arguments[i] + strings[i];
    }
  }
  function appendRound2(digits) {
    const d = Math.floor(digits);
    if (!(d >= 0)) throw new RangeError(`invalid digits: ${digits}`);
    if (d > 15) return append2;
    if (d !== cacheDigits) {
      const k2 = 10 ** d;
      cacheDigits = d;
      cacheAppend = function append3(strings) {
        let i = 1;
        this._ += strings[0];
        for (const j = strings.length; i < j; ++i) {
          this._ += Math.round(arguments[i] * k2) / k2 + strings[i];
        }
      };
    }
    return cacheAppend;
  }
  function index(projection3, context) {
    let digits = 3, pointRadius = 4.5, projectionStream, contextStream;
    function path2(object2) {
      if (object2) {
        if (typeof pointRadius === "function") contextStream.pointRadius(+pointRadius.apply(this, arguments));
        geoStream(object2, projectionStream(contextStream));
      }
      return contextStream.result();
    }
    path2.area = function(object2) {
      geoStream(object2, projectionStream(areaStream));
      return areaStream.result();
    };
    path2.measure = function(object2) {
      geoStream(object2, projectionStream(lengthStream));
      return lengthStream.result();
    };
    path2.bounds = function(object2) {
      geoStream(object2, projectionStream(boundsStream));
      return boundsStream.result();
    };
    path2.centroid = function(object2) {
      geoStream(object2, projectionStream(centroidStream));
      return centroidStream.result();
    };
    path2.projection = function(_) {
      if (!arguments.length) return projection3;
      projectionStream = _ == null ? (projection3 = null, identity$1) : (projection3 = _).stream;
      return path2;
    };
    path2.context = function(_) {
      if (!arguments.length) return context;
      contextStream = _ == null ? (context = null, new PathString(digits)) : new PathContext(context = _);
      if (typeof pointRadius !== "function") contextStream.pointRadius(pointRadius);
      return path2;
    };
    path2.pointRadius = function(_) {
      if (!arguments.length) return pointRadius;
      pointRadius = typeof _ === "function" ? _ : (contextStream.pointRadius(+_), +_);
      return path2;
    };
    path2.digits = function(_) {
      if (!arguments.length) return digits;
      if (_ == null) digits = null;
      else {
        const d = Math.floor(_);
        if (!(d >= 0)) throw new RangeError(`invalid digits: ${_}`);
        digits = d;
      }
      if (context === null) contextStream = new PathString(digits);
      return path2;
    };
    return path2.projection(projection3).digits(digits).context(context);
  }
  function transform(methods) {
    return {
      stream: transformer(methods)
    };
  }
  function transformer(methods) {
    return function(stream) {
      var s3 = new TransformStream();
      for (var key in methods) s3[key] = methods[key];
      s3.stream = stream;
      return s3;
    };
  }
  function TransformStream() {
  }
  TransformStream.prototype = {
    constructor: TransformStream,
    point: function(x2, y2) {
      this.stream.point(x2, y2);
    },
    sphere: function() {
      this.stream.sphere();
    },
    lineStart: function() {
      this.stream.lineStart();
    },
    lineEnd: function() {
      this.stream.lineEnd();
    },
    polygonStart: function() {
      this.stream.polygonStart();
    },
    polygonEnd: function() {
      this.stream.polygonEnd();
    }
  };
  function fit(projection3, fitBounds, object2) {
    var clip2 = projection3.clipExtent && projection3.clipExtent();
    projection3.scale(150).translate([0, 0]);
    if (clip2 != null) projection3.clipExtent(null);
    geoStream(object2, projection3.stream(boundsStream));
    fitBounds(boundsStream.result());
    if (clip2 != null) projection3.clipExtent(clip2);
    return projection3;
  }
  function fitExtent(projection3, extent3, object2) {
    return fit(projection3, function(b) {
      var w = extent3[1][0] - extent3[0][0], h2 = extent3[1][1] - extent3[0][1], k2 = Math.min(w / (b[1][0] - b[0][0]), h2 / (b[1][1] - b[0][1])), x2 = +extent3[0][0] + (w - k2 * (b[1][0] + b[0][0])) / 2, y2 = +extent3[0][1] + (h2 - k2 * (b[1][1] + b[0][1])) / 2;
      projection3.scale(150 * k2).translate([x2, y2]);
    }, object2);
  }
  function fitSize(projection3, size, object2) {
    return fitExtent(projection3, [[0, 0], size], object2);
  }
  function fitWidth(projection3, width, object2) {
    return fit(projection3, function(b) {
      var w = +width, k2 = w / (b[1][0] - b[0][0]), x2 = (w - k2 * (b[1][0] + b[0][0])) / 2, y2 = -k2 * b[0][1];
      projection3.scale(150 * k2).translate([x2, y2]);
    }, object2);
  }
  function fitHeight(projection3, height, object2) {
    return fit(projection3, function(b) {
      var h2 = +height, k2 = h2 / (b[1][1] - b[0][1]), x2 = -k2 * b[0][0], y2 = (h2 - k2 * (b[1][1] + b[0][1])) / 2;
      projection3.scale(150 * k2).translate([x2, y2]);
    }, object2);
  }
  var maxDepth = 16;
  var cosMinDistance = cos(30 * radians2);
  function resample(project2, delta2) {
    return +delta2 ? resample$1(project2, delta2) : resampleNone(project2);
  }
  function resampleNone(project2) {
    return transformer({
      point: function(x2, y2) {
        x2 = project2(x2, y2);
        this.stream.point(x2[0], x2[1]);
      }
    });
  }
  function resample$1(project2, delta2) {
    function resampleLineTo(x02, y02, lambda0, a0, b0, c0, x12, y12, lambda1, a1, b1, c1, depth, stream) {
      var dx = x12 - x02, dy = y12 - y02, d2 = dx * dx + dy * dy;
      if (d2 > 4 * delta2 && depth--) {
        var a2 = a0 + a1, b = b0 + b1, c3 = c0 + c1, m = sqrt(a2 * a2 + b * b + c3 * c3), phi2 = asin(c3 /= m), lambda2 = abs(abs(c3) - 1) < epsilon4 || abs(lambda0 - lambda1) < epsilon4 ? (lambda0 + lambda1) / 2 : atan2(b, a2), p = project2(lambda2, phi2), x2 = p[0], y2 = p[1], dx2 = x2 - x02, dy2 = y2 - y02, dz = dy * dx2 - dx * dy2;
        if (dz * dz / d2 > delta2 || abs((dx * dx2 + dy * dy2) / d2 - 0.5) > 0.3 || a0 * a1 + b0 * b1 + c0 * c1 < cosMinDistance) {
          resampleLineTo(x02, y02, lambda0, a0, b0, c0, x2, y2, lambda2, a2 /= m, b /= m, c3, depth, stream);
          stream.point(x2, y2);
          resampleLineTo(x2, y2, lambda2, a2, b, c3, x12, y12, lambda1, a1, b1, c1, depth, stream);
        }
      }
    }
    return function(stream) {
      var lambda00, x002, y002, a00, b00, c00, lambda0, x02, y02, a0, b0, c0;
      var resampleStream = {
        point: point3,
        lineStart,
        lineEnd,
        polygonStart: function() {
          stream.polygonStart();
          resampleStream.lineStart = ringStart;
        },
        polygonEnd: function() {
          stream.polygonEnd();
          resampleStream.lineStart = lineStart;
        }
      };
      function point3(x2, y2) {
        x2 = project2(x2, y2);
        stream.point(x2[0], x2[1]);
      }
      function lineStart() {
        x02 = NaN;
        resampleStream.point = linePoint;
        stream.lineStart();
      }
      function linePoint(lambda, phi) {
        var c3 = cartesian([lambda, phi]), p = project2(lambda, phi);
        resampleLineTo(x02, y02, lambda0, a0, b0, c0, x02 = p[0], y02 = p[1], lambda0 = lambda, a0 = c3[0], b0 = c3[1], c0 = c3[2], maxDepth, stream);
        stream.point(x02, y02);
      }
      function lineEnd() {
        resampleStream.point = point3;
        stream.lineEnd();
      }
      function ringStart() {
        lineStart();
        resampleStream.point = ringPoint;
        resampleStream.lineEnd = ringEnd;
      }
      function ringPoint(lambda, phi) {
        linePoint(lambda00 = lambda, phi), x002 = x02, y002 = y02, a00 = a0, b00 = b0, c00 = c0;
        resampleStream.point = linePoint;
      }
      function ringEnd() {
        resampleLineTo(x02, y02, lambda0, a0, b0, c0, x002, y002, lambda00, a00, b00, c00, maxDepth, stream);
        resampleStream.lineEnd = lineEnd;
        lineEnd();
      }
      return resampleStream;
    };
  }
  var transformRadians = transformer({
    point: function(x2, y2) {
      this.stream.point(x2 * radians2, y2 * radians2);
    }
  });
  function transformRotate(rotate) {
    return transformer({
      point: function(x2, y2) {
        var r = rotate(x2, y2);
        return this.stream.point(r[0], r[1]);
      }
    });
  }
  function scaleTranslate(k2, dx, dy, sx, sy) {
    function transform2(x2, y2) {
      x2 *= sx;
      y2 *= sy;
      return [dx + k2 * x2, dy - k2 * y2];
    }
    transform2.invert = function(x2, y2) {
      return [(x2 - dx) / k2 * sx, (dy - y2) / k2 * sy];
    };
    return transform2;
  }
  function scaleTranslateRotate(k2, dx, dy, sx, sy, alpha) {
    if (!alpha) return scaleTranslate(k2, dx, dy, sx, sy);
    var cosAlpha = cos(alpha), sinAlpha = sin(alpha), a2 = cosAlpha * k2, b = sinAlpha * k2, ai = cosAlpha / k2, bi = sinAlpha / k2, ci = (sinAlpha * dy - cosAlpha * dx) / k2, fi = (sinAlpha * dx + cosAlpha * dy) / k2;
    function transform2(x2, y2) {
      x2 *= sx;
      y2 *= sy;
      return [a2 * x2 - b * y2 + dx, dy - b * x2 - a2 * y2];
    }
    transform2.invert = function(x2, y2) {
      return [sx * (ai * x2 - bi * y2 + ci), sy * (fi - bi * x2 - ai * y2)];
    };
    return transform2;
  }
  function projection(project2) {
    return projectionMutator(function() {
      return project2;
    })();
  }
  function projectionMutator(projectAt) {
    var project2, k2 = 150, x2 = 480, y2 = 250, lambda = 0, phi = 0, deltaLambda = 0, deltaPhi = 0, deltaGamma = 0, rotate, alpha = 0, sx = 1, sy = 1, theta = null, preclip = clipAntimeridian, x02 = null, y02, x12, y12, postclip = identity$1, delta2 = 0.5, projectResample, projectTransform, projectRotateTransform, cache, cacheStream;
    function projection3(point3) {
      return projectRotateTransform(point3[0] * radians2, point3[1] * radians2);
    }
    function invert(point3) {
      point3 = projectRotateTransform.invert(point3[0], point3[1]);
      return point3 && [point3[0] * degrees3, point3[1] * degrees3];
    }
    projection3.stream = function(stream) {
      return cache && cacheStream === stream ? cache : cache = transformRadians(transformRotate(rotate)(preclip(projectResample(postclip(cacheStream = stream)))));
    };
    projection3.preclip = function(_) {
      return arguments.length ? (preclip = _, theta = void 0, reset()) : preclip;
    };
    projection3.postclip = function(_) {
      return arguments.length ? (postclip = _, x02 = y02 = x12 = y12 = null, reset()) : postclip;
    };
    projection3.clipAngle = function(_) {
      return arguments.length ? (preclip = +_ ? clipCircle(theta = _ * radians2) : (theta = null, clipAntimeridian), reset()) : theta * degrees3;
    };
    projection3.clipExtent = function(_) {
      return arguments.length ? (postclip = _ == null ? (x02 = y02 = x12 = y12 = null, identity$1) : clipRectangle(x02 = +_[0][0], y02 = +_[0][1], x12 = +_[1][0], y12 = +_[1][1]), reset()) : x02 == null ? null : [[x02, y02], [x12, y12]];
    };
    projection3.scale = function(_) {
      return arguments.length ? (k2 = +_, recenter()) : k2;
    };
    projection3.translate = function(_) {
      return arguments.length ? (x2 = +_[0], y2 = +_[1], recenter()) : [x2, y2];
    };
    projection3.center = function(_) {
      return arguments.length ? (lambda = _[0] % 360 * radians2, phi = _[1] % 360 * radians2, recenter()) : [lambda * degrees3, phi * degrees3];
    };
    projection3.rotate = function(_) {
      return arguments.length ? (deltaLambda = _[0] % 360 * radians2, deltaPhi = _[1] % 360 * radians2, deltaGamma = _.length > 2 ? _[2] % 360 * radians2 : 0, recenter()) : [deltaLambda * degrees3, deltaPhi * degrees3, deltaGamma * degrees3];
    };
    projection3.angle = function(_) {
      return arguments.length ? (alpha = _ % 360 * radians2, recenter()) : alpha * degrees3;
    };
    projection3.reflectX = function(_) {
      return arguments.length ? (sx = _ ? -1 : 1, recenter()) : sx < 0;
    };
    projection3.reflectY = function(_) {
      return arguments.length ? (sy = _ ? -1 : 1, recenter()) : sy < 0;
    };
    projection3.precision = function(_) {
      return arguments.length ? (projectResample = resample(projectTransform, delta2 = _ * _), reset()) : sqrt(delta2);
    };
    projection3.fitExtent = function(extent3, object2) {
      return fitExtent(projection3, extent3, object2);
    };
    projection3.fitSize = function(size, object2) {
      return fitSize(projection3, size, object2);
    };
    projection3.fitWidth = function(width, object2) {
      return fitWidth(projection3, width, object2);
    };
    projection3.fitHeight = function(height, object2) {
      return fitHeight(projection3, height, object2);
    };
    function recenter() {
      var center2 = scaleTranslateRotate(k2, 0, 0, sx, sy, alpha).apply(null, project2(lambda, phi)), transform2 = scaleTranslateRotate(k2, x2 - center2[0], y2 - center2[1], sx, sy, alpha);
      rotate = rotateRadians(deltaLambda, deltaPhi, deltaGamma);
      projectTransform = compose(project2, transform2);
      projectRotateTransform = compose(rotate, projectTransform);
      projectResample = resample(projectTransform, delta2);
      return reset();
    }
    function reset() {
      cache = cacheStream = null;
      return projection3;
    }
    return function() {
      project2 = projectAt.apply(this, arguments);
      projection3.invert = project2.invert && invert;
      return recenter();
    };
  }
  function conicProjection(projectAt) {
    var phi0 = 0, phi1 = pi2 / 3, m = projectionMutator(projectAt), p = m(phi0, phi1);
    p.parallels = function(_) {
      return arguments.length ? m(phi0 = _[0] * radians2, phi1 = _[1] * radians2) : [phi0 * degrees3, phi1 * degrees3];
    };
    return p;
  }
  function cylindricalEqualAreaRaw(phi0) {
    var cosPhi0 = cos(phi0);
    function forward(lambda, phi) {
      return [lambda * cosPhi0, sin(phi) / cosPhi0];
    }
    forward.invert = function(x2, y2) {
      return [x2 / cosPhi0, asin(y2 * cosPhi0)];
    };
    return forward;
  }
  function conicEqualAreaRaw(y02, y12) {
    var sy0 = sin(y02), n = (sy0 + sin(y12)) / 2;
    if (abs(n) < epsilon4) return cylindricalEqualAreaRaw(y02);
    var c3 = 1 + sy0 * (2 * n - sy0), r0 = sqrt(c3) / n;
    function project2(x2, y2) {
      var r = sqrt(c3 - 2 * n * sin(y2)) / n;
      return [r * sin(x2 *= n), r0 - r * cos(x2)];
    }
    project2.invert = function(x2, y2) {
      var r0y = r0 - y2, l = atan2(x2, abs(r0y)) * sign(r0y);
      if (r0y * n < 0)
        l -= pi2 * sign(x2) * sign(r0y);
      return [l / n, asin((c3 - (x2 * x2 + r0y * r0y) * n * n) / (2 * n))];
    };
    return project2;
  }
  function conicEqualArea() {
    return conicProjection(conicEqualAreaRaw).scale(155.424).center([0, 33.6442]);
  }
  function albers() {
    return conicEqualArea().parallels([29.5, 45.5]).scale(1070).translate([480, 250]).rotate([96, 0]).center([-0.6, 38.7]);
  }
  function multiplex(streams) {
    var n = streams.length;
    return {
      point: function(x2, y2) {
        var i = -1;
        while (++i < n) streams[i].point(x2, y2);
      },
      sphere: function() {
        var i = -1;
        while (++i < n) streams[i].sphere();
      },
      lineStart: function() {
        var i = -1;
        while (++i < n) streams[i].lineStart();
      },
      lineEnd: function() {
        var i = -1;
        while (++i < n) streams[i].lineEnd();
      },
      polygonStart: function() {
        var i = -1;
        while (++i < n) streams[i].polygonStart();
      },
      polygonEnd: function() {
        var i = -1;
        while (++i < n) streams[i].polygonEnd();
      }
    };
  }
  function albersUsa() {
    var cache, cacheStream, lower48 = albers(), lower48Point, alaska = conicEqualArea().rotate([154, 0]).center([-2, 58.5]).parallels([55, 65]), alaskaPoint, hawaii = conicEqualArea().rotate([157, 0]).center([-3, 19.9]).parallels([8, 18]), hawaiiPoint, point3, pointStream = { point: function(x2, y2) {
      point3 = [x2, y2];
    } };
    function albersUsa2(coordinates) {
      var x2 = coordinates[0], y2 = coordinates[1];
      return point3 = null, (lower48Point.point(x2, y2), point3) || (alaskaPoint.point(x2, y2), point3) || (hawaiiPoint.point(x2, y2), point3);
    }
    albersUsa2.invert = function(coordinates) {
      var k2 = lower48.scale(), t = lower48.translate(), x2 = (coordinates[0] - t[0]) / k2, y2 = (coordinates[1] - t[1]) / k2;
      return (y2 >= 0.12 && y2 < 0.234 && x2 >= -0.425 && x2 < -0.214 ? alaska : y2 >= 0.166 && y2 < 0.234 && x2 >= -0.214 && x2 < -0.115 ? hawaii : lower48).invert(coordinates);
    };
    albersUsa2.stream = function(stream) {
      return cache && cacheStream === stream ? cache : cache = multiplex([lower48.stream(cacheStream = stream), alaska.stream(stream), hawaii.stream(stream)]);
    };
    albersUsa2.precision = function(_) {
      if (!arguments.length) return lower48.precision();
      lower48.precision(_), alaska.precision(_), hawaii.precision(_);
      return reset();
    };
    albersUsa2.scale = function(_) {
      if (!arguments.length) return lower48.scale();
      lower48.scale(_), alaska.scale(_ * 0.35), hawaii.scale(_);
      return albersUsa2.translate(lower48.translate());
    };
    albersUsa2.translate = function(_) {
      if (!arguments.length) return lower48.translate();
      var k2 = lower48.scale(), x2 = +_[0], y2 = +_[1];
      lower48Point = lower48.translate(_).clipExtent([[x2 - 0.455 * k2, y2 - 0.238 * k2], [x2 + 0.455 * k2, y2 + 0.238 * k2]]).stream(pointStream);
      alaskaPoint = alaska.translate([x2 - 0.307 * k2, y2 + 0.201 * k2]).clipExtent([[x2 - 0.425 * k2 + epsilon4, y2 + 0.12 * k2 + epsilon4], [x2 - 0.214 * k2 - epsilon4, y2 + 0.234 * k2 - epsilon4]]).stream(pointStream);
      hawaiiPoint = hawaii.translate([x2 - 0.205 * k2, y2 + 0.212 * k2]).clipExtent([[x2 - 0.214 * k2 + epsilon4, y2 + 0.166 * k2 + epsilon4], [x2 - 0.115 * k2 - epsilon4, y2 + 0.234 * k2 - epsilon4]]).stream(pointStream);
      return reset();
    };
    albersUsa2.fitExtent = function(extent3, object2) {
      return fitExtent(albersUsa2, extent3, object2);
    };
    albersUsa2.fitSize = function(size, object2) {
      return fitSize(albersUsa2, size, object2);
    };
    albersUsa2.fitWidth = function(width, object2) {
      return fitWidth(albersUsa2, width, object2);
    };
    albersUsa2.fitHeight = function(height, object2) {
      return fitHeight(albersUsa2, height, object2);
    };
    function reset() {
      cache = cacheStream = null;
      return albersUsa2;
    }
    return albersUsa2.scale(1070);
  }
  function azimuthalRaw(scale) {
    return function(x2, y2) {
      var cx = cos(x2), cy = cos(y2), k2 = scale(cx * cy);
      if (k2 === Infinity) return [2, 0];
      return [
        k2 * cy * sin(x2),
        k2 * sin(y2)
      ];
    };
  }
  function azimuthalInvert(angle) {
    return function(x2, y2) {
      var z2 = sqrt(x2 * x2 + y2 * y2), c3 = angle(z2), sc = sin(c3), cc = cos(c3);
      return [
        atan2(x2 * sc, z2 * cc),
        asin(z2 && y2 * sc / z2)
      ];
    };
  }
  var azimuthalEqualAreaRaw = azimuthalRaw(function(cxcy) {
    return sqrt(2 / (1 + cxcy));
  });
  azimuthalEqualAreaRaw.invert = azimuthalInvert(function(z2) {
    return 2 * asin(z2 / 2);
  });
  function azimuthalEqualArea() {
    return projection(azimuthalEqualAreaRaw).scale(124.75).clipAngle(180 - 1e-3);
  }
  var azimuthalEquidistantRaw = azimuthalRaw(function(c3) {
    return (c3 = acos(c3)) && c3 / sin(c3);
  });
  azimuthalEquidistantRaw.invert = azimuthalInvert(function(z2) {
    return z2;
  });
  function azimuthalEquidistant() {
    return projection(azimuthalEquidistantRaw).scale(79.4188).clipAngle(180 - 1e-3);
  }
  function mercatorRaw(lambda, phi) {
    return [lambda, log(tan((halfPi + phi) / 2))];
  }
  mercatorRaw.invert = function(x2, y2) {
    return [x2, 2 * atan(exp(y2)) - halfPi];
  };
  function mercator() {
    return mercatorProjection(mercatorRaw).scale(961 / tau2);
  }
  function mercatorProjection(project2) {
    var m = projection(project2), center2 = m.center, scale = m.scale, translate = m.translate, clipExtent = m.clipExtent, x02 = null, y02, x12, y12;
    m.scale = function(_) {
      return arguments.length ? (scale(_), reclip()) : scale();
    };
    m.translate = function(_) {
      return arguments.length ? (translate(_), reclip()) : translate();
    };
    m.center = function(_) {
      return arguments.length ? (center2(_), reclip()) : center2();
    };
    m.clipExtent = function(_) {
      return arguments.length ? (_ == null ? x02 = y02 = x12 = y12 = null : (x02 = +_[0][0], y02 = +_[0][1], x12 = +_[1][0], y12 = +_[1][1]), reclip()) : x02 == null ? null : [[x02, y02], [x12, y12]];
    };
    function reclip() {
      var k2 = pi2 * scale(), t = m(rotation(m.rotate()).invert([0, 0]));
      return clipExtent(x02 == null ? [[t[0] - k2, t[1] - k2], [t[0] + k2, t[1] + k2]] : project2 === mercatorRaw ? [[Math.max(t[0] - k2, x02), y02], [Math.min(t[0] + k2, x12), y12]] : [[x02, Math.max(t[1] - k2, y02)], [x12, Math.min(t[1] + k2, y12)]]);
    }
    return reclip();
  }
  function tany(y2) {
    return tan((halfPi + y2) / 2);
  }
  function conicConformalRaw(y02, y12) {
    var cy0 = cos(y02), n = y02 === y12 ? sin(y02) : log(cy0 / cos(y12)) / log(tany(y12) / tany(y02)), f = cy0 * pow(tany(y02), n) / n;
    if (!n) return mercatorRaw;
    function project2(x2, y2) {
      if (f > 0) {
        if (y2 < -halfPi + epsilon4) y2 = -halfPi + epsilon4;
      } else {
        if (y2 > halfPi - epsilon4) y2 = halfPi - epsilon4;
      }
      var r = f / pow(tany(y2), n);
      return [r * sin(n * x2), f - r * cos(n * x2)];
    }
    project2.invert = function(x2, y2) {
      var fy = f - y2, r = sign(n) * sqrt(x2 * x2 + fy * fy), l = atan2(x2, abs(fy)) * sign(fy);
      if (fy * n < 0)
        l -= pi2 * sign(x2) * sign(fy);
      return [l / n, 2 * atan(pow(f / r, 1 / n)) - halfPi];
    };
    return project2;
  }
  function conicConformal() {
    return conicProjection(conicConformalRaw).scale(109.5).parallels([30, 30]);
  }
  function equirectangularRaw(lambda, phi) {
    return [lambda, phi];
  }
  equirectangularRaw.invert = equirectangularRaw;
  function equirectangular() {
    return projection(equirectangularRaw).scale(152.63);
  }
  function conicEquidistantRaw(y02, y12) {
    var cy0 = cos(y02), n = y02 === y12 ? sin(y02) : (cy0 - cos(y12)) / (y12 - y02), g = cy0 / n + y02;
    if (abs(n) < epsilon4) return equirectangularRaw;
    function project2(x2, y2) {
      var gy = g - y2, nx = n * x2;
      return [gy * sin(nx), g - gy * cos(nx)];
    }
    project2.invert = function(x2, y2) {
      var gy = g - y2, l = atan2(x2, abs(gy)) * sign(gy);
      if (gy * n < 0)
        l -= pi2 * sign(x2) * sign(gy);
      return [l / n, g - sign(n) * sqrt(x2 * x2 + gy * gy)];
    };
    return project2;
  }
  function conicEquidistant() {
    return conicProjection(conicEquidistantRaw).scale(131.154).center([0, 13.9389]);
  }
  var A1 = 1.340264;
  var A2 = -0.081106;
  var A3 = 893e-6;
  var A4 = 3796e-6;
  var M = sqrt(3) / 2;
  var iterations = 12;
  function equalEarthRaw(lambda, phi) {
    var l = asin(M * sin(phi)), l2 = l * l, l6 = l2 * l2 * l2;
    return [
      lambda * cos(l) / (M * (A1 + 3 * A2 * l2 + l6 * (7 * A3 + 9 * A4 * l2))),
      l * (A1 + A2 * l2 + l6 * (A3 + A4 * l2))
    ];
  }
  equalEarthRaw.invert = function(x2, y2) {
    var l = y2, l2 = l * l, l6 = l2 * l2 * l2;
    for (var i = 0, delta, fy, fpy; i < iterations; ++i) {
      fy = l * (A1 + A2 * l2 + l6 * (A3 + A4 * l2)) - y2;
      fpy = A1 + 3 * A2 * l2 + l6 * (7 * A3 + 9 * A4 * l2);
      l -= delta = fy / fpy, l2 = l * l, l6 = l2 * l2 * l2;
      if (abs(delta) < epsilon22) break;
    }
    return [
      M * x2 * (A1 + 3 * A2 * l2 + l6 * (7 * A3 + 9 * A4 * l2)) / cos(l),
      asin(sin(l) / M)
    ];
  };
  function equalEarth() {
    return projection(equalEarthRaw).scale(177.158);
  }
  function gnomonicRaw(x2, y2) {
    var cy = cos(y2), k2 = cos(x2) * cy;
    return [cy * sin(x2) / k2, sin(y2) / k2];
  }
  gnomonicRaw.invert = azimuthalInvert(atan);
  function gnomonic() {
    return projection(gnomonicRaw).scale(144.049).clipAngle(60);
  }
  function naturalEarth1Raw(lambda, phi) {
    var phi2 = phi * phi, phi4 = phi2 * phi2;
    return [
      lambda * (0.8707 - 0.131979 * phi2 + phi4 * (-0.013791 + phi4 * (3971e-6 * phi2 - 1529e-6 * phi4))),
      phi * (1.007226 + phi2 * (0.015085 + phi4 * (-0.044475 + 0.028874 * phi2 - 5916e-6 * phi4)))
    ];
  }
  naturalEarth1Raw.invert = function(x2, y2) {
    var phi = y2, i = 25, delta;
    do {
      var phi2 = phi * phi, phi4 = phi2 * phi2;
      phi -= delta = (phi * (1.007226 + phi2 * (0.015085 + phi4 * (-0.044475 + 0.028874 * phi2 - 5916e-6 * phi4))) - y2) / (1.007226 + phi2 * (0.015085 * 3 + phi4 * (-0.044475 * 7 + 0.028874 * 9 * phi2 - 5916e-6 * 11 * phi4)));
    } while (abs(delta) > epsilon4 && --i > 0);
    return [
      x2 / (0.8707 + (phi2 = phi * phi) * (-0.131979 + phi2 * (-0.013791 + phi2 * phi2 * phi2 * (3971e-6 - 1529e-6 * phi2)))),
      phi
    ];
  };
  function orthographicRaw(x2, y2) {
    return [cos(y2) * sin(x2), sin(y2)];
  }
  orthographicRaw.invert = azimuthalInvert(asin);
  function orthographic() {
    return projection(orthographicRaw).scale(249.5).clipAngle(90 + epsilon4);
  }
  function stereographicRaw(x2, y2) {
    var cy = cos(y2), k2 = 1 + cos(x2) * cy;
    return [cy * sin(x2) / k2, sin(y2) / k2];
  }
  stereographicRaw.invert = azimuthalInvert(function(z2) {
    return 2 * atan(z2);
  });
  function stereographic() {
    return projection(stereographicRaw).scale(250).clipAngle(142);
  }
  function transverseMercatorRaw(lambda, phi) {
    return [log(tan((halfPi + phi) / 2)), -lambda];
  }
  transverseMercatorRaw.invert = function(x2, y2) {
    return [-y2, 2 * atan(exp(x2)) - halfPi];
  };
  function transverseMercator() {
    var m = mercatorProjection(transverseMercatorRaw), center2 = m.center, rotate = m.rotate;
    m.center = function(_) {
      return arguments.length ? center2([-_[1], _[0]]) : (_ = center2(), [_[1], -_[0]]);
    };
    m.rotate = function(_) {
      return arguments.length ? rotate([_[0], _[1], _.length > 2 ? _[2] + 90 : 90]) : (_ = rotate(), [_[0], _[1], _[2] - 90]);
    };
    return rotate([0, 0, 90]).scale(159.155);
  }

  // node_modules/d3-time/dist/d3-time.mjs
  var t02 = /* @__PURE__ */ new Date();
  var t12 = /* @__PURE__ */ new Date();
  function timeInterval(floori, offseti, count2, field2) {
    function interval(date3) {
      return floori(date3 = arguments.length === 0 ? /* @__PURE__ */ new Date() : /* @__PURE__ */ new Date(+date3)), date3;
    }
    interval.floor = (date3) => {
      return floori(date3 = /* @__PURE__ */ new Date(+date3)), date3;
    };
    interval.ceil = (date3) => {
      return floori(date3 = new Date(date3 - 1)), offseti(date3, 1), floori(date3), date3;
    };
    interval.round = (date3) => {
      const d0 = interval(date3), d1 = interval.ceil(date3);
      return date3 - d0 < d1 - date3 ? d0 : d1;
    };
    interval.offset = (date3, step2) => {
      return offseti(date3 = /* @__PURE__ */ new Date(+date3), step2 == null ? 1 : Math.floor(step2)), date3;
    };
    interval.range = (start, stop, step2) => {
      const range3 = [];
      start = interval.ceil(start);
      step2 = step2 == null ? 1 : Math.floor(step2);
      if (!(start < stop) || !(step2 > 0)) return range3;
      let previous;
      do
        range3.push(previous = /* @__PURE__ */ new Date(+start)), offseti(start, step2), floori(start);
      while (previous < start && start < stop);
      return range3;
    };
    interval.filter = (test) => {
      return timeInterval((date3) => {
        if (date3 >= date3) while (floori(date3), !test(date3)) date3.setTime(date3 - 1);
      }, (date3, step2) => {
        if (date3 >= date3) {
          if (step2 < 0) while (++step2 <= 0) {
            while (offseti(date3, -1), !test(date3)) {
            }
          }
          else while (--step2 >= 0) {
            while (offseti(date3, 1), !test(date3)) {
            }
          }
        }
      });
    };
    if (count2) {
      interval.count = (start, end) => {
        t02.setTime(+start), t12.setTime(+end);
        floori(t02), floori(t12);
        return Math.floor(count2(t02, t12));
      };
      interval.every = (step2) => {
        step2 = Math.floor(step2);
        return !isFinite(step2) || !(step2 > 0) ? null : !(step2 > 1) ? interval : interval.filter(field2 ? (d) => field2(d) % step2 === 0 : (d) => interval.count(0, d) % step2 === 0);
      };
    }
    return interval;
  }
  var millisecond = timeInterval(() => {
  }, (date3, step2) => {
    date3.setTime(+date3 + step2);
  }, (start, end) => {
    return end - start;
  });
  millisecond.every = (k2) => {
    k2 = Math.floor(k2);
    if (!isFinite(k2) || !(k2 > 0)) return null;
    if (!(k2 > 1)) return millisecond;
    return timeInterval((date3) => {
      date3.setTime(Math.floor(date3 / k2) * k2);
    }, (date3, step2) => {
      date3.setTime(+date3 + step2 * k2);
    }, (start, end) => {
      return (end - start) / k2;
    });
  };
  var milliseconds = millisecond.range;
  var durationSecond = 1e3;
  var durationMinute = durationSecond * 60;
  var durationHour = durationMinute * 60;
  var durationDay = durationHour * 24;
  var durationWeek = durationDay * 7;
  var durationMonth = durationDay * 30;
  var durationYear = durationDay * 365;
  var second = timeInterval((date3) => {
    date3.setTime(date3 - date3.getMilliseconds());
  }, (date3, step2) => {
    date3.setTime(+date3 + step2 * durationSecond);
  }, (start, end) => {
    return (end - start) / durationSecond;
  }, (date3) => {
    return date3.getUTCSeconds();
  });
  var seconds = second.range;
  var timeMinute = timeInterval((date3) => {
    date3.setTime(date3 - date3.getMilliseconds() - date3.getSeconds() * durationSecond);
  }, (date3, step2) => {
    date3.setTime(+date3 + step2 * durationMinute);
  }, (start, end) => {
    return (end - start) / durationMinute;
  }, (date3) => {
    return date3.getMinutes();
  });
  var timeMinutes = timeMinute.range;
  var utcMinute = timeInterval((date3) => {
    date3.setUTCSeconds(0, 0);
  }, (date3, step2) => {
    date3.setTime(+date3 + step2 * durationMinute);
  }, (start, end) => {
    return (end - start) / durationMinute;
  }, (date3) => {
    return date3.getUTCMinutes();
  });
  var utcMinutes = utcMinute.range;
  var timeHour = timeInterval((date3) => {
    date3.setTime(date3 - date3.getMilliseconds() - date3.getSeconds() * durationSecond - date3.getMinutes() * durationMinute);
  }, (date3, step2) => {
    date3.setTime(+date3 + step2 * durationHour);
  }, (start, end) => {
    return (end - start) / durationHour;
  }, (date3) => {
    return date3.getHours();
  });
  var timeHours = timeHour.range;
  var utcHour = timeInterval((date3) => {
    date3.setUTCMinutes(0, 0, 0);
  }, (date3, step2) => {
    date3.setTime(+date3 + step2 * durationHour);
  }, (start, end) => {
    return (end - start) / durationHour;
  }, (date3) => {
    return date3.getUTCHours();
  });
  var utcHours = utcHour.range;
  var timeDay = timeInterval(
    (date3) => date3.setHours(0, 0, 0, 0),
    (date3, step2) => date3.setDate(date3.getDate() + step2),
    (start, end) => (end - start - (end.getTimezoneOffset() - start.getTimezoneOffset()) * durationMinute) / durationDay,
    (date3) => date3.getDate() - 1
  );
  var timeDays = timeDay.range;
  var utcDay = timeInterval((date3) => {
    date3.setUTCHours(0, 0, 0, 0);
  }, (date3, step2) => {
    date3.setUTCDate(date3.getUTCDate() + step2);
  }, (start, end) => {
    return (end - start) / durationDay;
  }, (date3) => {
    return date3.getUTCDate() - 1;
  });
  var utcDays = utcDay.range;
  var unixDay = timeInterval((date3) => {
    date3.setUTCHours(0, 0, 0, 0);
  }, (date3, step2) => {
    date3.setUTCDate(date3.getUTCDate() + step2);
  }, (start, end) => {
    return (end - start) / durationDay;
  }, (date3) => {
    return Math.floor(date3 / durationDay);
  });
  var unixDays = unixDay.range;
  function timeWeekday(i) {
    return timeInterval((date3) => {
      date3.setDate(date3.getDate() - (date3.getDay() + 7 - i) % 7);
      date3.setHours(0, 0, 0, 0);
    }, (date3, step2) => {
      date3.setDate(date3.getDate() + step2 * 7);
    }, (start, end) => {
      return (end - start - (end.getTimezoneOffset() - start.getTimezoneOffset()) * durationMinute) / durationWeek;
    });
  }
  var timeSunday = timeWeekday(0);
  var timeMonday = timeWeekday(1);
  var timeTuesday = timeWeekday(2);
  var timeWednesday = timeWeekday(3);
  var timeThursday = timeWeekday(4);
  var timeFriday = timeWeekday(5);
  var timeSaturday = timeWeekday(6);
  var timeSundays = timeSunday.range;
  var timeMondays = timeMonday.range;
  var timeTuesdays = timeTuesday.range;
  var timeWednesdays = timeWednesday.range;
  var timeThursdays = timeThursday.range;
  var timeFridays = timeFriday.range;
  var timeSaturdays = timeSaturday.range;
  function utcWeekday(i) {
    return timeInterval((date3) => {
      date3.setUTCDate(date3.getUTCDate() - (date3.getUTCDay() + 7 - i) % 7);
      date3.setUTCHours(0, 0, 0, 0);
    }, (date3, step2) => {
      date3.setUTCDate(date3.getUTCDate() + step2 * 7);
    }, (start, end) => {
      return (end - start) / durationWeek;
    });
  }
  var utcSunday = utcWeekday(0);
  var utcMonday = utcWeekday(1);
  var utcTuesday = utcWeekday(2);
  var utcWednesday = utcWeekday(3);
  var utcThursday = utcWeekday(4);
  var utcFriday = utcWeekday(5);
  var utcSaturday = utcWeekday(6);
  var utcSundays = utcSunday.range;
  var utcMondays = utcMonday.range;
  var utcTuesdays = utcTuesday.range;
  var utcWednesdays = utcWednesday.range;
  var utcThursdays = utcThursday.range;
  var utcFridays = utcFriday.range;
  var utcSaturdays = utcSaturday.range;
  var timeMonth = timeInterval((date3) => {
    date3.setDate(1);
    date3.setHours(0, 0, 0, 0);
  }, (date3, step2) => {
    date3.setMonth(date3.getMonth() + step2);
  }, (start, end) => {
    return end.getMonth() - start.getMonth() + (end.getFullYear() - start.getFullYear()) * 12;
  }, (date3) => {
    return date3.getMonth();
  });
  var timeMonths = timeMonth.range;
  var utcMonth = timeInterval((date3) => {
    date3.setUTCDate(1);
    date3.setUTCHours(0, 0, 0, 0);
  }, (date3, step2) => {
    date3.setUTCMonth(date3.getUTCMonth() + step2);
  }, (start, end) => {
    return end.getUTCMonth() - start.getUTCMonth() + (end.getUTCFullYear() - start.getUTCFullYear()) * 12;
  }, (date3) => {
    return date3.getUTCMonth();
  });
  var utcMonths = utcMonth.range;
  var timeYear = timeInterval((date3) => {
    date3.setMonth(0, 1);
    date3.setHours(0, 0, 0, 0);
  }, (date3, step2) => {
    date3.setFullYear(date3.getFullYear() + step2);
  }, (start, end) => {
    return end.getFullYear() - start.getFullYear();
  }, (date3) => {
    return date3.getFullYear();
  });
  timeYear.every = (k2) => {
    return !isFinite(k2 = Math.floor(k2)) || !(k2 > 0) ? null : timeInterval((date3) => {
      date3.setFullYear(Math.floor(date3.getFullYear() / k2) * k2);
      date3.setMonth(0, 1);
      date3.setHours(0, 0, 0, 0);
    }, (date3, step2) => {
      date3.setFullYear(date3.getFullYear() + step2 * k2);
    });
  };
  var timeYears = timeYear.range;
  var utcYear = timeInterval((date3) => {
    date3.setUTCMonth(0, 1);
    date3.setUTCHours(0, 0, 0, 0);
  }, (date3, step2) => {
    date3.setUTCFullYear(date3.getUTCFullYear() + step2);
  }, (start, end) => {
    return end.getUTCFullYear() - start.getUTCFullYear();
  }, (date3) => {
    return date3.getUTCFullYear();
  });
  utcYear.every = (k2) => {
    return !isFinite(k2 = Math.floor(k2)) || !(k2 > 0) ? null : timeInterval((date3) => {
      date3.setUTCFullYear(Math.floor(date3.getUTCFullYear() / k2) * k2);
      date3.setUTCMonth(0, 1);
      date3.setUTCHours(0, 0, 0, 0);
    }, (date3, step2) => {
      date3.setUTCFullYear(date3.getUTCFullYear() + step2 * k2);
    });
  };
  var utcYears = utcYear.range;
  function ticker(year, month, week, day, hour, minute) {
    const tickIntervals2 = [
      [second, 1, durationSecond],
      [second, 5, 5 * durationSecond],
      [second, 15, 15 * durationSecond],
      [second, 30, 30 * durationSecond],
      [minute, 1, durationMinute],
      [minute, 5, 5 * durationMinute],
      [minute, 15, 15 * durationMinute],
      [minute, 30, 30 * durationMinute],
      [hour, 1, durationHour],
      [hour, 3, 3 * durationHour],
      [hour, 6, 6 * durationHour],
      [hour, 12, 12 * durationHour],
      [day, 1, durationDay],
      [day, 2, 2 * durationDay],
      [week, 1, durationWeek],
      [month, 1, durationMonth],
      [month, 3, 3 * durationMonth],
      [year, 1, durationYear]
    ];
    function ticks2(start, stop, count2) {
      const reverse2 = stop < start;
      if (reverse2) [start, stop] = [stop, start];
      const interval = count2 && typeof count2.range === "function" ? count2 : tickInterval(start, stop, count2);
      const ticks3 = interval ? interval.range(start, +stop + 1) : [];
      return reverse2 ? ticks3.reverse() : ticks3;
    }
    function tickInterval(start, stop, count2) {
      const target = Math.abs(stop - start) / count2;
      const i = bisector(([, , step3]) => step3).right(tickIntervals2, target);
      if (i === tickIntervals2.length) return year.every(tickStep(start / durationYear, stop / durationYear, count2));
      if (i === 0) return millisecond.every(Math.max(tickStep(start, stop, count2), 1));
      const [t, step2] = tickIntervals2[target / tickIntervals2[i - 1][2] < tickIntervals2[i][2] / target ? i - 1 : i];
      return t.every(step2);
    }
    return [ticks2, tickInterval];
  }
  var [utcTicks, utcTickInterval] = ticker(utcYear, utcMonth, utcSunday, unixDay, utcHour, utcMinute);
  var [timeTicks, timeTickInterval] = ticker(timeYear, timeMonth, timeSunday, timeDay, timeHour, timeMinute);

  // node_modules/d3-time-format/dist/d3-time-format.mjs
  function localDate(d) {
    if (0 <= d.y && d.y < 100) {
      var date3 = new Date(-1, d.m, d.d, d.H, d.M, d.S, d.L);
      date3.setFullYear(d.y);
      return date3;
    }
    return new Date(d.y, d.m, d.d, d.H, d.M, d.S, d.L);
  }
  function utcDate(d) {
    if (0 <= d.y && d.y < 100) {
      var date3 = new Date(Date.UTC(-1, d.m, d.d, d.H, d.M, d.S, d.L));
      date3.setUTCFullYear(d.y);
      return date3;
    }
    return new Date(Date.UTC(d.y, d.m, d.d, d.H, d.M, d.S, d.L));
  }
  function newDate(y2, m, d) {
    return { y: y2, m, d, H: 0, M: 0, S: 0, L: 0 };
  }
  function formatLocale2(locale3) {
    var locale_dateTime = locale3.dateTime, locale_date = locale3.date, locale_time = locale3.time, locale_periods = locale3.periods, locale_weekdays = locale3.days, locale_shortWeekdays = locale3.shortDays, locale_months = locale3.months, locale_shortMonths = locale3.shortMonths;
    var periodRe = formatRe(locale_periods), periodLookup = formatLookup(locale_periods), weekdayRe = formatRe(locale_weekdays), weekdayLookup = formatLookup(locale_weekdays), shortWeekdayRe = formatRe(locale_shortWeekdays), shortWeekdayLookup = formatLookup(locale_shortWeekdays), monthRe = formatRe(locale_months), monthLookup = formatLookup(locale_months), shortMonthRe = formatRe(locale_shortMonths), shortMonthLookup = formatLookup(locale_shortMonths);
    var formats = {
      "a": formatShortWeekday,
      "A": formatWeekday,
      "b": formatShortMonth,
      "B": formatMonth,
      "c": null,
      "d": formatDayOfMonth,
      "e": formatDayOfMonth,
      "f": formatMicroseconds,
      "g": formatYearISO,
      "G": formatFullYearISO,
      "H": formatHour24,
      "I": formatHour12,
      "j": formatDayOfYear,
      "L": formatMilliseconds,
      "m": formatMonthNumber,
      "M": formatMinutes,
      "p": formatPeriod,
      "q": formatQuarter,
      "Q": formatUnixTimestamp,
      "s": formatUnixTimestampSeconds,
      "S": formatSeconds,
      "u": formatWeekdayNumberMonday,
      "U": formatWeekNumberSunday,
      "V": formatWeekNumberISO,
      "w": formatWeekdayNumberSunday,
      "W": formatWeekNumberMonday,
      "x": null,
      "X": null,
      "y": formatYear,
      "Y": formatFullYear,
      "Z": formatZone,
      "%": formatLiteralPercent
    };
    var utcFormats = {
      "a": formatUTCShortWeekday,
      "A": formatUTCWeekday,
      "b": formatUTCShortMonth,
      "B": formatUTCMonth,
      "c": null,
      "d": formatUTCDayOfMonth,
      "e": formatUTCDayOfMonth,
      "f": formatUTCMicroseconds,
      "g": formatUTCYearISO,
      "G": formatUTCFullYearISO,
      "H": formatUTCHour24,
      "I": formatUTCHour12,
      "j": formatUTCDayOfYear,
      "L": formatUTCMilliseconds,
      "m": formatUTCMonthNumber,
      "M": formatUTCMinutes,
      "p": formatUTCPeriod,
      "q": formatUTCQuarter,
      "Q": formatUnixTimestamp,
      "s": formatUnixTimestampSeconds,
      "S": formatUTCSeconds,
      "u": formatUTCWeekdayNumberMonday,
      "U": formatUTCWeekNumberSunday,
      "V": formatUTCWeekNumberISO,
      "w": formatUTCWeekdayNumberSunday,
      "W": formatUTCWeekNumberMonday,
      "x": null,
      "X": null,
      "y": formatUTCYear,
      "Y": formatUTCFullYear,
      "Z": formatUTCZone,
      "%": formatLiteralPercent
    };
    var parses = {
      "a": parseShortWeekday,
      "A": parseWeekday,
      "b": parseShortMonth,
      "B": parseMonth,
      "c": parseLocaleDateTime,
      "d": parseDayOfMonth,
      "e": parseDayOfMonth,
      "f": parseMicroseconds,
      "g": parseYear,
      "G": parseFullYear,
      "H": parseHour24,
      "I": parseHour24,
      "j": parseDayOfYear,
      "L": parseMilliseconds,
      "m": parseMonthNumber,
      "M": parseMinutes,
      "p": parsePeriod,
      "q": parseQuarter,
      "Q": parseUnixTimestamp,
      "s": parseUnixTimestampSeconds,
      "S": parseSeconds,
      "u": parseWeekdayNumberMonday,
      "U": parseWeekNumberSunday,
      "V": parseWeekNumberISO,
      "w": parseWeekdayNumberSunday,
      "W": parseWeekNumberMonday,
      "x": parseLocaleDate,
      "X": parseLocaleTime,
      "y": parseYear,
      "Y": parseFullYear,
      "Z": parseZone,
      "%": parseLiteralPercent
    };
    formats.x = newFormat(locale_date, formats);
    formats.X = newFormat(locale_time, formats);
    formats.c = newFormat(locale_dateTime, formats);
    utcFormats.x = newFormat(locale_date, utcFormats);
    utcFormats.X = newFormat(locale_time, utcFormats);
    utcFormats.c = newFormat(locale_dateTime, utcFormats);
    function newFormat(specifier, formats2) {
      return function(date3) {
        var string3 = [], i = -1, j = 0, n = specifier.length, c3, pad3, format3;
        if (!(date3 instanceof Date)) date3 = /* @__PURE__ */ new Date(+date3);
        while (++i < n) {
          if (specifier.charCodeAt(i) === 37) {
            string3.push(specifier.slice(j, i));
            if ((pad3 = pads[c3 = specifier.charAt(++i)]) != null) c3 = specifier.charAt(++i);
            else pad3 = c3 === "e" ? " " : "0";
            if (format3 = formats2[c3]) c3 = format3(date3, pad3);
            string3.push(c3);
            j = i + 1;
          }
        }
        string3.push(specifier.slice(j, i));
        return string3.join("");
      };
    }
    function newParse(specifier, Z3) {
      return function(string3) {
        var d = newDate(1900, void 0, 1), i = parseSpecifier(d, specifier, string3 += "", 0), week, day;
        if (i != string3.length) return null;
        if ("Q" in d) return new Date(d.Q);
        if ("s" in d) return new Date(d.s * 1e3 + ("L" in d ? d.L : 0));
        if (Z3 && !("Z" in d)) d.Z = 0;
        if ("p" in d) d.H = d.H % 12 + d.p * 12;
        if (d.m === void 0) d.m = "q" in d ? d.q : 0;
        if ("V" in d) {
          if (d.V < 1 || d.V > 53) return null;
          if (!("w" in d)) d.w = 1;
          if ("Z" in d) {
            week = utcDate(newDate(d.y, 0, 1)), day = week.getUTCDay();
            week = day > 4 || day === 0 ? utcMonday.ceil(week) : utcMonday(week);
            week = utcDay.offset(week, (d.V - 1) * 7);
            d.y = week.getUTCFullYear();
            d.m = week.getUTCMonth();
            d.d = week.getUTCDate() + (d.w + 6) % 7;
          } else {
            week = localDate(newDate(d.y, 0, 1)), day = week.getDay();
            week = day > 4 || day === 0 ? timeMonday.ceil(week) : timeMonday(week);
            week = timeDay.offset(week, (d.V - 1) * 7);
            d.y = week.getFullYear();
            d.m = week.getMonth();
            d.d = week.getDate() + (d.w + 6) % 7;
          }
        } else if ("W" in d || "U" in d) {
          if (!("w" in d)) d.w = "u" in d ? d.u % 7 : "W" in d ? 1 : 0;
          day = "Z" in d ? utcDate(newDate(d.y, 0, 1)).getUTCDay() : localDate(newDate(d.y, 0, 1)).getDay();
          d.m = 0;
          d.d = "W" in d ? (d.w + 6) % 7 + d.W * 7 - (day + 5) % 7 : d.w + d.U * 7 - (day + 6) % 7;
        }
        if ("Z" in d) {
          d.H += d.Z / 100 | 0;
          d.M += d.Z % 100;
          return utcDate(d);
        }
        return localDate(d);
      };
    }
    function parseSpecifier(d, specifier, string3, j) {
      var i = 0, n = specifier.length, m = string3.length, c3, parse3;
      while (i < n) {
        if (j >= m) return -1;
        c3 = specifier.charCodeAt(i++);
        if (c3 === 37) {
          c3 = specifier.charAt(i++);
          parse3 = parses[c3 in pads ? specifier.charAt(i++) : c3];
          if (!parse3 || (j = parse3(d, string3, j)) < 0) return -1;
        } else if (c3 != string3.charCodeAt(j++)) {
          return -1;
        }
      }
      return j;
    }
    function parsePeriod(d, string3, i) {
      var n = periodRe.exec(string3.slice(i));
      return n ? (d.p = periodLookup.get(n[0].toLowerCase()), i + n[0].length) : -1;
    }
    function parseShortWeekday(d, string3, i) {
      var n = shortWeekdayRe.exec(string3.slice(i));
      return n ? (d.w = shortWeekdayLookup.get(n[0].toLowerCase()), i + n[0].length) : -1;
    }
    function parseWeekday(d, string3, i) {
      var n = weekdayRe.exec(string3.slice(i));
      return n ? (d.w = weekdayLookup.get(n[0].toLowerCase()), i + n[0].length) : -1;
    }
    function parseShortMonth(d, string3, i) {
      var n = shortMonthRe.exec(string3.slice(i));
      return n ? (d.m = shortMonthLookup.get(n[0].toLowerCase()), i + n[0].length) : -1;
    }
    function parseMonth(d, string3, i) {
      var n = monthRe.exec(string3.slice(i));
      return n ? (d.m = monthLookup.get(n[0].toLowerCase()), i + n[0].length) : -1;
    }
    function parseLocaleDateTime(d, string3, i) {
      return parseSpecifier(d, locale_dateTime, string3, i);
    }
    function parseLocaleDate(d, string3, i) {
      return parseSpecifier(d, locale_date, string3, i);
    }
    function parseLocaleTime(d, string3, i) {
      return parseSpecifier(d, locale_time, string3, i);
    }
    function formatShortWeekday(d) {
      return locale_shortWeekdays[d.getDay()];
    }
    function formatWeekday(d) {
      return locale_weekdays[d.getDay()];
    }
    function formatShortMonth(d) {
      return locale_shortMonths[d.getMonth()];
    }
    function formatMonth(d) {
      return locale_months[d.getMonth()];
    }
    function formatPeriod(d) {
      return locale_periods[+(d.getHours() >= 12)];
    }
    function formatQuarter(d) {
      return 1 + ~~(d.getMonth() / 3);
    }
    function formatUTCShortWeekday(d) {
      return locale_shortWeekdays[d.getUTCDay()];
    }
    function formatUTCWeekday(d) {
      return locale_weekdays[d.getUTCDay()];
    }
    function formatUTCShortMonth(d) {
      return locale_shortMonths[d.getUTCMonth()];
    }
    function formatUTCMonth(d) {
      return locale_months[d.getUTCMonth()];
    }
    function formatUTCPeriod(d) {
      return locale_periods[+(d.getUTCHours() >= 12)];
    }
    function formatUTCQuarter(d) {
      return 1 + ~~(d.getUTCMonth() / 3);
    }
    return {
      format: function(specifier) {
        var f = newFormat(specifier += "", formats);
        f.toString = function() {
          return specifier;
        };
        return f;
      },
      parse: function(specifier) {
        var p = newParse(specifier += "", false);
        p.toString = function() {
          return specifier;
        };
        return p;
      },
      utcFormat: function(specifier) {
        var f = newFormat(specifier += "", utcFormats);
        f.toString = function() {
          return specifier;
        };
        return f;
      },
      utcParse: function(specifier) {
        var p = newParse(specifier += "", true);
        p.toString = function() {
          return specifier;
        };
        return p;
      }
    };
  }
  var pads = { "-": "", "_": " ", "0": "0" };
  var numberRe = /^\s*\d+/;
  var percentRe = /^%/;
  var requoteRe = /[\\^$*+?|[\]().{}]/g;
  function pad(value2, fill, width) {
    var sign3 = value2 < 0 ? "-" : "", string3 = (sign3 ? -value2 : value2) + "", length2 = string3.length;
    return sign3 + (length2 < width ? new Array(width - length2 + 1).join(fill) + string3 : string3);
  }
  function requote(s3) {
    return s3.replace(requoteRe, "\\$&");
  }
  function formatRe(names) {
    return new RegExp("^(?:" + names.map(requote).join("|") + ")", "i");
  }
  function formatLookup(names) {
    return new Map(names.map((name, i) => [name.toLowerCase(), i]));
  }
  function parseWeekdayNumberSunday(d, string3, i) {
    var n = numberRe.exec(string3.slice(i, i + 1));
    return n ? (d.w = +n[0], i + n[0].length) : -1;
  }
  function parseWeekdayNumberMonday(d, string3, i) {
    var n = numberRe.exec(string3.slice(i, i + 1));
    return n ? (d.u = +n[0], i + n[0].length) : -1;
  }
  function parseWeekNumberSunday(d, string3, i) {
    var n = numberRe.exec(string3.slice(i, i + 2));
    return n ? (d.U = +n[0], i + n[0].length) : -1;
  }
  function parseWeekNumberISO(d, string3, i) {
    var n = numberRe.exec(string3.slice(i, i + 2));
    return n ? (d.V = +n[0], i + n[0].length) : -1;
  }
  function parseWeekNumberMonday(d, string3, i) {
    var n = numberRe.exec(string3.slice(i, i + 2));
    return n ? (d.W = +n[0], i + n[0].length) : -1;
  }
  function parseFullYear(d, string3, i) {
    var n = numberRe.exec(string3.slice(i, i + 4));
    return n ? (d.y = +n[0], i + n[0].length) : -1;
  }
  function parseYear(d, string3, i) {
    var n = numberRe.exec(string3.slice(i, i + 2));
    return n ? (d.y = +n[0] + (+n[0] > 68 ? 1900 : 2e3), i + n[0].length) : -1;
  }
  function parseZone(d, string3, i) {
    var n = /^(Z)|([+-]\d\d)(?::?(\d\d))?/.exec(string3.slice(i, i + 6));
    return n ? (d.Z = n[1] ? 0 : -(n[2] + (n[3] || "00")), i + n[0].length) : -1;
  }
  function parseQuarter(d, string3, i) {
    var n = numberRe.exec(string3.slice(i, i + 1));
    return n ? (d.q = n[0] * 3 - 3, i + n[0].length) : -1;
  }
  function parseMonthNumber(d, string3, i) {
    var n = numberRe.exec(string3.slice(i, i + 2));
    return n ? (d.m = n[0] - 1, i + n[0].length) : -1;
  }
  function parseDayOfMonth(d, string3, i) {
    var n = numberRe.exec(string3.slice(i, i + 2));
    return n ? (d.d = +n[0], i + n[0].length) : -1;
  }
  function parseDayOfYear(d, string3, i) {
    var n = numberRe.exec(string3.slice(i, i + 3));
    return n ? (d.m = 0, d.d = +n[0], i + n[0].length) : -1;
  }
  function parseHour24(d, string3, i) {
    var n = numberRe.exec(string3.slice(i, i + 2));
    return n ? (d.H = +n[0], i + n[0].length) : -1;
  }
  function parseMinutes(d, string3, i) {
    var n = numberRe.exec(string3.slice(i, i + 2));
    return n ? (d.M = +n[0], i + n[0].length) : -1;
  }
  function parseSeconds(d, string3, i) {
    var n = numberRe.exec(string3.slice(i, i + 2));
    return n ? (d.S = +n[0], i + n[0].length) : -1;
  }
  function parseMilliseconds(d, string3, i) {
    var n = numberRe.exec(string3.slice(i, i + 3));
    return n ? (d.L = +n[0], i + n[0].length) : -1;
  }
  function parseMicroseconds(d, string3, i) {
    var n = numberRe.exec(string3.slice(i, i + 6));
    return n ? (d.L = Math.floor(n[0] / 1e3), i + n[0].length) : -1;
  }
  function parseLiteralPercent(d, string3, i) {
    var n = percentRe.exec(string3.slice(i, i + 1));
    return n ? i + n[0].length : -1;
  }
  function parseUnixTimestamp(d, string3, i) {
    var n = numberRe.exec(string3.slice(i));
    return n ? (d.Q = +n[0], i + n[0].length) : -1;
  }
  function parseUnixTimestampSeconds(d, string3, i) {
    var n = numberRe.exec(string3.slice(i));
    return n ? (d.s = +n[0], i + n[0].length) : -1;
  }
  function formatDayOfMonth(d, p) {
    return pad(d.getDate(), p, 2);
  }
  function formatHour24(d, p) {
    return pad(d.getHours(), p, 2);
  }
  function formatHour12(d, p) {
    return pad(d.getHours() % 12 || 12, p, 2);
  }
  function formatDayOfYear(d, p) {
    return pad(1 + timeDay.count(timeYear(d), d), p, 3);
  }
  function formatMilliseconds(d, p) {
    return pad(d.getMilliseconds(), p, 3);
  }
  function formatMicroseconds(d, p) {
    return formatMilliseconds(d, p) + "000";
  }
  function formatMonthNumber(d, p) {
    return pad(d.getMonth() + 1, p, 2);
  }
  function formatMinutes(d, p) {
    return pad(d.getMinutes(), p, 2);
  }
  function formatSeconds(d, p) {
    return pad(d.getSeconds(), p, 2);
  }
  function formatWeekdayNumberMonday(d) {
    var day = d.getDay();
    return day === 0 ? 7 : day;
  }
  function formatWeekNumberSunday(d, p) {
    return pad(timeSunday.count(timeYear(d) - 1, d), p, 2);
  }
  function dISO(d) {
    var day = d.getDay();
    return day >= 4 || day === 0 ? timeThursday(d) : timeThursday.ceil(d);
  }
  function formatWeekNumberISO(d, p) {
    d = dISO(d);
    return pad(timeThursday.count(timeYear(d), d) + (timeYear(d).getDay() === 4), p, 2);
  }
  function formatWeekdayNumberSunday(d) {
    return d.getDay();
  }
  function formatWeekNumberMonday(d, p) {
    return pad(timeMonday.count(timeYear(d) - 1, d), p, 2);
  }
  function formatYear(d, p) {
    return pad(d.getFullYear() % 100, p, 2);
  }
  function formatYearISO(d, p) {
    d = dISO(d);
    return pad(d.getFullYear() % 100, p, 2);
  }
  function formatFullYear(d, p) {
    return pad(d.getFullYear() % 1e4, p, 4);
  }
  function formatFullYearISO(d, p) {
    var day = d.getDay();
    d = day >= 4 || day === 0 ? timeThursday(d) : timeThursday.ceil(d);
    return pad(d.getFullYear() % 1e4, p, 4);
  }
  function formatZone(d) {
    var z2 = d.getTimezoneOffset();
    return (z2 > 0 ? "-" : (z2 *= -1, "+")) + pad(z2 / 60 | 0, "0", 2) + pad(z2 % 60, "0", 2);
  }
  function formatUTCDayOfMonth(d, p) {
    return pad(d.getUTCDate(), p, 2);
  }
  function formatUTCHour24(d, p) {
    return pad(d.getUTCHours(), p, 2);
  }
  function formatUTCHour12(d, p) {
    return pad(d.getUTCHours() % 12 || 12, p, 2);
  }
  function formatUTCDayOfYear(d, p) {
    return pad(1 + utcDay.count(utcYear(d), d), p, 3);
  }
  function formatUTCMilliseconds(d, p) {
    return pad(d.getUTCMilliseconds(), p, 3);
  }
  function formatUTCMicroseconds(d, p) {
    return formatUTCMilliseconds(d, p) + "000";
  }
  function formatUTCMonthNumber(d, p) {
    return pad(d.getUTCMonth() + 1, p, 2);
  }
  function formatUTCMinutes(d, p) {
    return pad(d.getUTCMinutes(), p, 2);
  }
  function formatUTCSeconds(d, p) {
    return pad(d.getUTCSeconds(), p, 2);
  }
  function formatUTCWeekdayNumberMonday(d) {
    var dow = d.getUTCDay();
    return dow === 0 ? 7 : dow;
  }
  function formatUTCWeekNumberSunday(d, p) {
    return pad(utcSunday.count(utcYear(d) - 1, d), p, 2);
  }
  function UTCdISO(d) {
    var day = d.getUTCDay();
    return day >= 4 || day === 0 ? utcThursday(d) : utcThursday.ceil(d);
  }
  function formatUTCWeekNumberISO(d, p) {
    d = UTCdISO(d);
    return pad(utcThursday.count(utcYear(d), d) + (utcYear(d).getUTCDay() === 4), p, 2);
  }
  function formatUTCWeekdayNumberSunday(d) {
    return d.getUTCDay();
  }
  function formatUTCWeekNumberMonday(d, p) {
    return pad(utcMonday.count(utcYear(d) - 1, d), p, 2);
  }
  function formatUTCYear(d, p) {
    return pad(d.getUTCFullYear() % 100, p, 2);
  }
  function formatUTCYearISO(d, p) {
    d = UTCdISO(d);
    return pad(d.getUTCFullYear() % 100, p, 2);
  }
  function formatUTCFullYear(d, p) {
    return pad(d.getUTCFullYear() % 1e4, p, 4);
  }
  function formatUTCFullYearISO(d, p) {
    var day = d.getUTCDay();
    d = day >= 4 || day === 0 ? utcThursday(d) : utcThursday.ceil(d);
    return pad(d.getUTCFullYear() % 1e4, p, 4);
  }
  function formatUTCZone() {
    return "+0000";
  }
  function formatLiteralPercent() {
    return "%";
  }
  function formatUnixTimestamp(d) {
    return +d;
  }
  function formatUnixTimestampSeconds(d) {
    return Math.floor(+d / 1e3);
  }
  var locale2;
  var timeFormat;
  var timeParse;
  var utcFormat;
  var utcParse;
  defaultLocale2({
    dateTime: "%x, %X",
    date: "%-m/%-d/%Y",
    time: "%-I:%M:%S %p",
    periods: ["AM", "PM"],
    days: ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"],
    shortDays: ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"],
    months: ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"],
    shortMonths: ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
  });
  function defaultLocale2(definition) {
    locale2 = formatLocale2(definition);
    timeFormat = locale2.format;
    timeParse = locale2.parse;
    utcFormat = locale2.utcFormat;
    utcParse = locale2.utcParse;
    return locale2;
  }
  var isoSpecifier = "%Y-%m-%dT%H:%M:%S.%LZ";
  function formatIsoNative(date3) {
    return date3.toISOString();
  }
  var formatIso = Date.prototype.toISOString ? formatIsoNative : utcFormat(isoSpecifier);
  function parseIsoNative(string3) {
    var date3 = new Date(string3);
    return isNaN(date3) ? null : date3;
  }
  var parseIso = +/* @__PURE__ */ new Date("2000-01-01T00:00:00.000Z") ? parseIsoNative : utcParse(isoSpecifier);

  // node_modules/d3-scale/dist/d3-scale.mjs
  function initRange(domain, range3) {
    switch (arguments.length) {
      case 0:
        break;
      case 1:
        this.range(domain);
        break;
      default:
        this.range(range3).domain(domain);
        break;
    }
    return this;
  }
  function initInterpolator(domain, interpolator) {
    switch (arguments.length) {
      case 0:
        break;
      case 1: {
        if (typeof domain === "function") this.interpolator(domain);
        else this.range(domain);
        break;
      }
      default: {
        this.domain(domain);
        if (typeof interpolator === "function") this.interpolator(interpolator);
        else this.range(interpolator);
        break;
      }
    }
    return this;
  }
  var implicit = /* @__PURE__ */ Symbol("implicit");
  function ordinal() {
    var index2 = new InternMap(), domain = [], range3 = [], unknown = implicit;
    function scale(d) {
      let i = index2.get(d);
      if (i === void 0) {
        if (unknown !== implicit) return unknown;
        index2.set(d, i = domain.push(d) - 1);
      }
      return range3[i % range3.length];
    }
    scale.domain = function(_) {
      if (!arguments.length) return domain.slice();
      domain = [], index2 = new InternMap();
      for (const value2 of _) {
        if (index2.has(value2)) continue;
        index2.set(value2, domain.push(value2) - 1);
      }
      return scale;
    };
    scale.range = function(_) {
      return arguments.length ? (range3 = Array.from(_), scale) : range3.slice();
    };
    scale.unknown = function(_) {
      return arguments.length ? (unknown = _, scale) : unknown;
    };
    scale.copy = function() {
      return ordinal(domain, range3).unknown(unknown);
    };
    initRange.apply(scale, arguments);
    return scale;
  }
  function band() {
    var scale = ordinal().unknown(void 0), domain = scale.domain, ordinalRange2 = scale.range, r0 = 0, r1 = 1, step2, bandwidth, round2 = false, paddingInner = 0, paddingOuter = 0, align = 0.5;
    delete scale.unknown;
    function rescale() {
      var n = domain().length, reverse2 = r1 < r0, start = reverse2 ? r1 : r0, stop = reverse2 ? r0 : r1;
      step2 = (stop - start) / Math.max(1, n - paddingInner + paddingOuter * 2);
      if (round2) step2 = Math.floor(step2);
      start += (stop - start - step2 * (n - paddingInner)) * align;
      bandwidth = step2 * (1 - paddingInner);
      if (round2) start = Math.round(start), bandwidth = Math.round(bandwidth);
      var values2 = range(n).map(function(i) {
        return start + step2 * i;
      });
      return ordinalRange2(reverse2 ? values2.reverse() : values2);
    }
    scale.domain = function(_) {
      return arguments.length ? (domain(_), rescale()) : domain();
    };
    scale.range = function(_) {
      return arguments.length ? ([r0, r1] = _, r0 = +r0, r1 = +r1, rescale()) : [r0, r1];
    };
    scale.rangeRound = function(_) {
      return [r0, r1] = _, r0 = +r0, r1 = +r1, round2 = true, rescale();
    };
    scale.bandwidth = function() {
      return bandwidth;
    };
    scale.step = function() {
      return step2;
    };
    scale.round = function(_) {
      return arguments.length ? (round2 = !!_, rescale()) : round2;
    };
    scale.padding = function(_) {
      return arguments.length ? (paddingInner = Math.min(1, paddingOuter = +_), rescale()) : paddingInner;
    };
    scale.paddingInner = function(_) {
      return arguments.length ? (paddingInner = Math.min(1, _), rescale()) : paddingInner;
    };
    scale.paddingOuter = function(_) {
      return arguments.length ? (paddingOuter = +_, rescale()) : paddingOuter;
    };
    scale.align = function(_) {
      return arguments.length ? (align = Math.max(0, Math.min(1, _)), rescale()) : align;
    };
    scale.copy = function() {
      return band(domain(), [r0, r1]).round(round2).paddingInner(paddingInner).paddingOuter(paddingOuter).align(align);
    };
    return initRange.apply(rescale(), arguments);
  }
  function pointish(scale) {
    var copy2 = scale.copy;
    scale.padding = scale.paddingOuter;
    delete scale.paddingInner;
    delete scale.paddingOuter;
    scale.copy = function() {
      return pointish(copy2());
    };
    return scale;
  }
  function point() {
    return pointish(band.apply(null, arguments).paddingInner(1));
  }
  function constants(x2) {
    return function() {
      return x2;
    };
  }
  function number$1(x2) {
    return +x2;
  }
  var unit = [0, 1];
  function identity$12(x2) {
    return x2;
  }
  function normalize(a2, b) {
    return (b -= a2 = +a2) ? function(x2) {
      return (x2 - a2) / b;
    } : constants(isNaN(b) ? NaN : 0.5);
  }
  function clamper(a2, b) {
    var t;
    if (a2 > b) t = a2, a2 = b, b = t;
    return function(x2) {
      return Math.max(a2, Math.min(b, x2));
    };
  }
  function bimap(domain, range3, interpolate) {
    var d0 = domain[0], d1 = domain[1], r0 = range3[0], r1 = range3[1];
    if (d1 < d0) d0 = normalize(d1, d0), r0 = interpolate(r1, r0);
    else d0 = normalize(d0, d1), r0 = interpolate(r0, r1);
    return function(x2) {
      return r0(d0(x2));
    };
  }
  function polymap(domain, range3, interpolate) {
    var j = Math.min(domain.length, range3.length) - 1, d = new Array(j), r = new Array(j), i = -1;
    if (domain[j] < domain[0]) {
      domain = domain.slice().reverse();
      range3 = range3.slice().reverse();
    }
    while (++i < j) {
      d[i] = normalize(domain[i], domain[i + 1]);
      r[i] = interpolate(range3[i], range3[i + 1]);
    }
    return function(x2) {
      var i2 = bisectRight(domain, x2, 1, j) - 1;
      return r[i2](d[i2](x2));
    };
  }
  function copy$1(source, target) {
    return target.domain(source.domain()).range(source.range()).interpolate(source.interpolate()).clamp(source.clamp()).unknown(source.unknown());
  }
  function transformer$2() {
    var domain = unit, range3 = unit, interpolate$1 = value, transform2, untransform, unknown, clamp = identity$12, piecewise2, output, input;
    function rescale() {
      var n = Math.min(domain.length, range3.length);
      if (clamp !== identity$12) clamp = clamper(domain[0], domain[n - 1]);
      piecewise2 = n > 2 ? polymap : bimap;
      output = input = null;
      return scale;
    }
    function scale(x2) {
      return x2 == null || isNaN(x2 = +x2) ? unknown : (output || (output = piecewise2(domain.map(transform2), range3, interpolate$1)))(transform2(clamp(x2)));
    }
    scale.invert = function(y2) {
      return clamp(untransform((input || (input = piecewise2(range3, domain.map(transform2), number3)))(y2)));
    };
    scale.domain = function(_) {
      return arguments.length ? (domain = Array.from(_, number$1), rescale()) : domain.slice();
    };
    scale.range = function(_) {
      return arguments.length ? (range3 = Array.from(_), rescale()) : range3.slice();
    };
    scale.rangeRound = function(_) {
      return range3 = Array.from(_), interpolate$1 = round, rescale();
    };
    scale.clamp = function(_) {
      return arguments.length ? (clamp = _ ? true : identity$12, rescale()) : clamp !== identity$12;
    };
    scale.interpolate = function(_) {
      return arguments.length ? (interpolate$1 = _, rescale()) : interpolate$1;
    };
    scale.unknown = function(_) {
      return arguments.length ? (unknown = _, scale) : unknown;
    };
    return function(t, u) {
      transform2 = t, untransform = u;
      return rescale();
    };
  }
  function continuous() {
    return transformer$2()(identity$12, identity$12);
  }
  function tickFormat(start, stop, count2, specifier) {
    var step2 = tickStep(start, stop, count2), precision;
    specifier = formatSpecifier(specifier == null ? ",f" : specifier);
    switch (specifier.type) {
      case "s": {
        var value2 = Math.max(Math.abs(start), Math.abs(stop));
        if (specifier.precision == null && !isNaN(precision = precisionPrefix(step2, value2))) specifier.precision = precision;
        return formatPrefix(specifier, value2);
      }
      case "":
      case "e":
      case "g":
      case "p":
      case "r": {
        if (specifier.precision == null && !isNaN(precision = precisionRound(step2, Math.max(Math.abs(start), Math.abs(stop))))) specifier.precision = precision - (specifier.type === "e");
        break;
      }
      case "f":
      case "%": {
        if (specifier.precision == null && !isNaN(precision = precisionFixed(step2))) specifier.precision = precision - (specifier.type === "%") * 2;
        break;
      }
    }
    return format(specifier);
  }
  function linearish(scale) {
    var domain = scale.domain;
    scale.ticks = function(count2) {
      var d = domain();
      return ticks(d[0], d[d.length - 1], count2 == null ? 10 : count2);
    };
    scale.tickFormat = function(count2, specifier) {
      var d = domain();
      return tickFormat(d[0], d[d.length - 1], count2 == null ? 10 : count2, specifier);
    };
    scale.nice = function(count2) {
      if (count2 == null) count2 = 10;
      var d = domain();
      var i0 = 0;
      var i1 = d.length - 1;
      var start = d[i0];
      var stop = d[i1];
      var prestep;
      var step2;
      var maxIter = 10;
      if (stop < start) {
        step2 = start, start = stop, stop = step2;
        step2 = i0, i0 = i1, i1 = step2;
      }
      while (maxIter-- > 0) {
        step2 = tickIncrement(start, stop, count2);
        if (step2 === prestep) {
          d[i0] = start;
          d[i1] = stop;
          return domain(d);
        } else if (step2 > 0) {
          start = Math.floor(start / step2) * step2;
          stop = Math.ceil(stop / step2) * step2;
        } else if (step2 < 0) {
          start = Math.ceil(start * step2) / step2;
          stop = Math.floor(stop * step2) / step2;
        } else {
          break;
        }
        prestep = step2;
      }
      return scale;
    };
    return scale;
  }
  function linear2() {
    var scale = continuous();
    scale.copy = function() {
      return copy$1(scale, linear2());
    };
    initRange.apply(scale, arguments);
    return linearish(scale);
  }
  function identity5(domain) {
    var unknown;
    function scale(x2) {
      return x2 == null || isNaN(x2 = +x2) ? unknown : x2;
    }
    scale.invert = scale;
    scale.domain = scale.range = function(_) {
      return arguments.length ? (domain = Array.from(_, number$1), scale) : domain.slice();
    };
    scale.unknown = function(_) {
      return arguments.length ? (unknown = _, scale) : unknown;
    };
    scale.copy = function() {
      return identity5(domain).unknown(unknown);
    };
    domain = arguments.length ? Array.from(domain, number$1) : [0, 1];
    return linearish(scale);
  }
  function nice(domain, interval) {
    domain = domain.slice();
    var i0 = 0, i1 = domain.length - 1, x02 = domain[i0], x12 = domain[i1], t;
    if (x12 < x02) {
      t = i0, i0 = i1, i1 = t;
      t = x02, x02 = x12, x12 = t;
    }
    domain[i0] = interval.floor(x02);
    domain[i1] = interval.ceil(x12);
    return domain;
  }
  function transformLog(x2) {
    return Math.log(x2);
  }
  function transformExp(x2) {
    return Math.exp(x2);
  }
  function transformLogn(x2) {
    return -Math.log(-x2);
  }
  function transformExpn(x2) {
    return -Math.exp(-x2);
  }
  function pow10(x2) {
    return isFinite(x2) ? +("1e" + x2) : x2 < 0 ? 0 : x2;
  }
  function powp(base) {
    return base === 10 ? pow10 : base === Math.E ? Math.exp : (x2) => Math.pow(base, x2);
  }
  function logp(base) {
    return base === Math.E ? Math.log : base === 10 && Math.log10 || base === 2 && Math.log2 || (base = Math.log(base), (x2) => Math.log(x2) / base);
  }
  function reflect(f) {
    return (x2, k2) => -f(-x2, k2);
  }
  function loggish(transform2) {
    const scale = transform2(transformLog, transformExp);
    const domain = scale.domain;
    let base = 10;
    let logs;
    let pows;
    function rescale() {
      logs = logp(base), pows = powp(base);
      if (domain()[0] < 0) {
        logs = reflect(logs), pows = reflect(pows);
        transform2(transformLogn, transformExpn);
      } else {
        transform2(transformLog, transformExp);
      }
      return scale;
    }
    scale.base = function(_) {
      return arguments.length ? (base = +_, rescale()) : base;
    };
    scale.domain = function(_) {
      return arguments.length ? (domain(_), rescale()) : domain();
    };
    scale.ticks = (count2) => {
      const d = domain();
      let u = d[0];
      let v = d[d.length - 1];
      const r = v < u;
      if (r) [u, v] = [v, u];
      let i = logs(u);
      let j = logs(v);
      let k2;
      let t;
      const n = count2 == null ? 10 : +count2;
      let z2 = [];
      if (!(base % 1) && j - i < n) {
        i = Math.floor(i), j = Math.ceil(j);
        if (u > 0) for (; i <= j; ++i) {
          for (k2 = 1; k2 < base; ++k2) {
            t = i < 0 ? k2 / pows(-i) : k2 * pows(i);
            if (t < u) continue;
            if (t > v) break;
            z2.push(t);
          }
        }
        else for (; i <= j; ++i) {
          for (k2 = base - 1; k2 >= 1; --k2) {
            t = i > 0 ? k2 / pows(-i) : k2 * pows(i);
            if (t < u) continue;
            if (t > v) break;
            z2.push(t);
          }
        }
        if (z2.length * 2 < n) z2 = ticks(u, v, n);
      } else {
        z2 = ticks(i, j, Math.min(j - i, n)).map(pows);
      }
      return r ? z2.reverse() : z2;
    };
    scale.tickFormat = (count2, specifier) => {
      if (count2 == null) count2 = 10;
      if (specifier == null) specifier = base === 10 ? "s" : ",";
      if (typeof specifier !== "function") {
        if (!(base % 1) && (specifier = formatSpecifier(specifier)).precision == null) specifier.trim = true;
        specifier = format(specifier);
      }
      if (count2 === Infinity) return specifier;
      const k2 = Math.max(1, base * count2 / scale.ticks().length);
      return (d) => {
        let i = d / pows(Math.round(logs(d)));
        if (i * base < base - 0.5) i *= base;
        return i <= k2 ? specifier(d) : "";
      };
    };
    scale.nice = () => {
      return domain(nice(domain(), {
        floor: (x2) => pows(Math.floor(logs(x2))),
        ceil: (x2) => pows(Math.ceil(logs(x2)))
      }));
    };
    return scale;
  }
  function log2() {
    const scale = loggish(transformer$2()).domain([1, 10]);
    scale.copy = () => copy$1(scale, log2()).base(scale.base());
    initRange.apply(scale, arguments);
    return scale;
  }
  function transformSymlog(c3) {
    return function(x2) {
      return Math.sign(x2) * Math.log1p(Math.abs(x2 / c3));
    };
  }
  function transformSymexp(c3) {
    return function(x2) {
      return Math.sign(x2) * Math.expm1(Math.abs(x2)) * c3;
    };
  }
  function symlogish(transform2) {
    var c3 = 1, scale = transform2(transformSymlog(c3), transformSymexp(c3));
    scale.constant = function(_) {
      return arguments.length ? transform2(transformSymlog(c3 = +_), transformSymexp(c3)) : c3;
    };
    return linearish(scale);
  }
  function symlog() {
    var scale = symlogish(transformer$2());
    scale.copy = function() {
      return copy$1(scale, symlog()).constant(scale.constant());
    };
    return initRange.apply(scale, arguments);
  }
  function transformPow(exponent2) {
    return function(x2) {
      return x2 < 0 ? -Math.pow(-x2, exponent2) : Math.pow(x2, exponent2);
    };
  }
  function transformSqrt(x2) {
    return x2 < 0 ? -Math.sqrt(-x2) : Math.sqrt(x2);
  }
  function transformSquare(x2) {
    return x2 < 0 ? -x2 * x2 : x2 * x2;
  }
  function powish(transform2) {
    var scale = transform2(identity$12, identity$12), exponent2 = 1;
    function rescale() {
      return exponent2 === 1 ? transform2(identity$12, identity$12) : exponent2 === 0.5 ? transform2(transformSqrt, transformSquare) : transform2(transformPow(exponent2), transformPow(1 / exponent2));
    }
    scale.exponent = function(_) {
      return arguments.length ? (exponent2 = +_, rescale()) : exponent2;
    };
    return linearish(scale);
  }
  function pow2() {
    var scale = powish(transformer$2());
    scale.copy = function() {
      return copy$1(scale, pow2()).exponent(scale.exponent());
    };
    initRange.apply(scale, arguments);
    return scale;
  }
  function quantile2() {
    var domain = [], range3 = [], thresholds = [], unknown;
    function rescale() {
      var i = 0, n = Math.max(1, range3.length);
      thresholds = new Array(n - 1);
      while (++i < n) thresholds[i - 1] = quantileSorted(domain, i / n);
      return scale;
    }
    function scale(x2) {
      return x2 == null || isNaN(x2 = +x2) ? unknown : range3[bisectRight(thresholds, x2)];
    }
    scale.invertExtent = function(y2) {
      var i = range3.indexOf(y2);
      return i < 0 ? [NaN, NaN] : [
        i > 0 ? thresholds[i - 1] : domain[0],
        i < thresholds.length ? thresholds[i] : domain[domain.length - 1]
      ];
    };
    scale.domain = function(_) {
      if (!arguments.length) return domain.slice();
      domain = [];
      for (let d of _) if (d != null && !isNaN(d = +d)) domain.push(d);
      domain.sort(ascending);
      return rescale();
    };
    scale.range = function(_) {
      return arguments.length ? (range3 = Array.from(_), rescale()) : range3.slice();
    };
    scale.unknown = function(_) {
      return arguments.length ? (unknown = _, scale) : unknown;
    };
    scale.quantiles = function() {
      return thresholds.slice();
    };
    scale.copy = function() {
      return quantile2().domain(domain).range(range3).unknown(unknown);
    };
    return initRange.apply(scale, arguments);
  }
  function threshold() {
    var domain = [0.5], range3 = [0, 1], unknown, n = 1;
    function scale(x2) {
      return x2 != null && x2 <= x2 ? range3[bisectRight(domain, x2, 0, n)] : unknown;
    }
    scale.domain = function(_) {
      return arguments.length ? (domain = Array.from(_), n = Math.min(domain.length, range3.length - 1), scale) : domain.slice();
    };
    scale.range = function(_) {
      return arguments.length ? (range3 = Array.from(_), n = Math.min(domain.length, range3.length - 1), scale) : range3.slice();
    };
    scale.invertExtent = function(y2) {
      var i = range3.indexOf(y2);
      return [domain[i - 1], domain[i]];
    };
    scale.unknown = function(_) {
      return arguments.length ? (unknown = _, scale) : unknown;
    };
    scale.copy = function() {
      return threshold().domain(domain).range(range3).unknown(unknown);
    };
    return initRange.apply(scale, arguments);
  }
  function date2(t) {
    return new Date(t);
  }
  function number4(t) {
    return t instanceof Date ? +t : Math.round(t);
  }
  function calendar(ticks2, tickInterval, year, month, week, day, hour, minute, second3, format3) {
    var scale = continuous(), invert = scale.invert, domain = scale.domain;
    var formatMillisecond = format3(".%L"), formatSecond = format3(":%S"), formatMinute = format3("%I:%M"), formatHour = format3("%I %p"), formatDay = format3("%a %d"), formatWeek = format3("%b %d"), formatMonth = format3("%B"), formatYear3 = format3("%Y");
    function tickFormat2(date3) {
      return (second3(date3) < date3 ? formatMillisecond : minute(date3) < date3 ? formatSecond : hour(date3) < date3 ? formatMinute : day(date3) < date3 ? formatHour : month(date3) < date3 ? week(date3) < date3 ? formatDay : formatWeek : year(date3) < date3 ? formatMonth : formatYear3)(date3);
    }
    scale.invert = function(y2) {
      return new Date(Math.round(invert(y2)));
    };
    scale.domain = function(_) {
      return arguments.length ? domain(Array.from(_, number4)) : domain().map(date2);
    };
    scale.ticks = function(interval) {
      var d = domain();
      return ticks2(d[0], d[d.length - 1], interval == null ? 10 : interval);
    };
    scale.tickFormat = function(count2, specifier) {
      return specifier == null ? tickFormat2 : format3(specifier);
    };
    scale.nice = function(interval) {
      var d = domain();
      if (!interval || typeof interval.range !== "function") interval = tickInterval(d[0], d[d.length - 1], interval == null ? 10 : interval);
      return interval ? domain(nice(d, interval)) : scale;
    };
    scale.copy = function() {
      return copy$1(scale, calendar(ticks2, tickInterval, year, month, week, day, hour, minute, second3, format3));
    };
    return scale;
  }
  function time() {
    return initRange.apply(calendar(timeTicks, timeTickInterval, timeYear, timeMonth, timeSunday, timeDay, timeHour, timeMinute, second, timeFormat).domain([new Date(2e3, 0, 1), new Date(2e3, 0, 2)]), arguments);
  }
  function utcTime() {
    return initRange.apply(calendar(utcTicks, utcTickInterval, utcYear, utcMonth, utcSunday, utcDay, utcHour, utcMinute, second, utcFormat).domain([Date.UTC(2e3, 0, 1), Date.UTC(2e3, 0, 2)]), arguments);
  }
  function copy(source, target) {
    return target.domain(source.domain()).interpolator(source.interpolator()).clamp(source.clamp()).unknown(source.unknown());
  }
  function transformer2() {
    var x02 = 0, x12 = 0.5, x2 = 1, s3 = 1, t03, t13, t22, k10, k21, interpolator = identity$12, transform2, clamp = false, unknown;
    function scale(x3) {
      return x3 == null || isNaN(x3 = +x3) ? unknown : (x3 = 0.5 + ((x3 = +transform2(x3)) - t13) * (s3 * x3 < s3 * t13 ? k10 : k21), interpolator(clamp ? Math.max(0, Math.min(1, x3)) : x3));
    }
    scale.domain = function(_) {
      return arguments.length ? ([x02, x12, x2] = _, t03 = transform2(x02 = +x02), t13 = transform2(x12 = +x12), t22 = transform2(x2 = +x2), k10 = t03 === t13 ? 0 : 0.5 / (t13 - t03), k21 = t13 === t22 ? 0 : 0.5 / (t22 - t13), s3 = t13 < t03 ? -1 : 1, scale) : [x02, x12, x2];
    };
    scale.clamp = function(_) {
      return arguments.length ? (clamp = !!_, scale) : clamp;
    };
    scale.interpolator = function(_) {
      return arguments.length ? (interpolator = _, scale) : interpolator;
    };
    function range3(interpolate) {
      return function(_) {
        var r0, r1, r2;
        return arguments.length ? ([r0, r1, r2] = _, interpolator = piecewise(interpolate, [r0, r1, r2]), scale) : [interpolator(0), interpolator(0.5), interpolator(1)];
      };
    }
    scale.range = range3(value);
    scale.rangeRound = range3(round);
    scale.unknown = function(_) {
      return arguments.length ? (unknown = _, scale) : unknown;
    };
    return function(t) {
      transform2 = t, t03 = t(x02), t13 = t(x12), t22 = t(x2), k10 = t03 === t13 ? 0 : 0.5 / (t13 - t03), k21 = t13 === t22 ? 0 : 0.5 / (t22 - t13), s3 = t13 < t03 ? -1 : 1;
      return scale;
    };
  }
  function diverging() {
    var scale = linearish(transformer2()(identity$12));
    scale.copy = function() {
      return copy(scale, diverging());
    };
    return initInterpolator.apply(scale, arguments);
  }
  function divergingLog() {
    var scale = loggish(transformer2()).domain([0.1, 1, 10]);
    scale.copy = function() {
      return copy(scale, divergingLog()).base(scale.base());
    };
    return initInterpolator.apply(scale, arguments);
  }
  function divergingSymlog() {
    var scale = symlogish(transformer2());
    scale.copy = function() {
      return copy(scale, divergingSymlog()).constant(scale.constant());
    };
    return initInterpolator.apply(scale, arguments);
  }
  function divergingPow() {
    var scale = powish(transformer2());
    scale.copy = function() {
      return copy(scale, divergingPow()).exponent(scale.exponent());
    };
    return initInterpolator.apply(scale, arguments);
  }

  // node_modules/d3-scale-chromatic/dist/d3-scale-chromatic.mjs
  function colors(specifier) {
    var n = specifier.length / 6 | 0, colors2 = new Array(n), i = 0;
    while (i < n) colors2[i] = "#" + specifier.slice(i * 6, ++i * 6);
    return colors2;
  }
  var category10 = colors("1f77b4ff7f0e2ca02cd627289467bd8c564be377c27f7f7fbcbd2217becf");
  var Accent = colors("7fc97fbeaed4fdc086ffff99386cb0f0027fbf5b17666666");
  var Dark2 = colors("1b9e77d95f027570b3e7298a66a61ee6ab02a6761d666666");
  var observable10 = colors("4269d0efb118ff725c6cc5b03ca951ff8ab7a463f297bbf59c6b4e9498a0");
  var Paired = colors("a6cee31f78b4b2df8a33a02cfb9a99e31a1cfdbf6fff7f00cab2d66a3d9affff99b15928");
  var Pastel1 = colors("fbb4aeb3cde3ccebc5decbe4fed9a6ffffcce5d8bdfddaecf2f2f2");
  var Pastel2 = colors("b3e2cdfdcdaccbd5e8f4cae4e6f5c9fff2aef1e2cccccccc");
  var Set1 = colors("e41a1c377eb84daf4a984ea3ff7f00ffff33a65628f781bf999999");
  var Set2 = colors("66c2a5fc8d628da0cbe78ac3a6d854ffd92fe5c494b3b3b3");
  var Set3 = colors("8dd3c7ffffb3bebadafb807280b1d3fdb462b3de69fccde5d9d9d9bc80bdccebc5ffed6f");
  var Tableau10 = colors("4e79a7f28e2ce1575976b7b259a14fedc949af7aa1ff9da79c755fbab0ab");
  var ramp$1 = (scheme2) => rgbBasis(scheme2[scheme2.length - 1]);
  var scheme$q = new Array(3).concat(
    "d8b365f5f5f55ab4ac",
    "a6611adfc27d80cdc1018571",
    "a6611adfc27df5f5f580cdc1018571",
    "8c510ad8b365f6e8c3c7eae55ab4ac01665e",
    "8c510ad8b365f6e8c3f5f5f5c7eae55ab4ac01665e",
    "8c510abf812ddfc27df6e8c3c7eae580cdc135978f01665e",
    "8c510abf812ddfc27df6e8c3f5f5f5c7eae580cdc135978f01665e",
    "5430058c510abf812ddfc27df6e8c3c7eae580cdc135978f01665e003c30",
    "5430058c510abf812ddfc27df6e8c3f5f5f5c7eae580cdc135978f01665e003c30"
  ).map(colors);
  var BrBG = ramp$1(scheme$q);
  var scheme$p = new Array(3).concat(
    "af8dc3f7f7f77fbf7b",
    "7b3294c2a5cfa6dba0008837",
    "7b3294c2a5cff7f7f7a6dba0008837",
    "762a83af8dc3e7d4e8d9f0d37fbf7b1b7837",
    "762a83af8dc3e7d4e8f7f7f7d9f0d37fbf7b1b7837",
    "762a839970abc2a5cfe7d4e8d9f0d3a6dba05aae611b7837",
    "762a839970abc2a5cfe7d4e8f7f7f7d9f0d3a6dba05aae611b7837",
    "40004b762a839970abc2a5cfe7d4e8d9f0d3a6dba05aae611b783700441b",
    "40004b762a839970abc2a5cfe7d4e8f7f7f7d9f0d3a6dba05aae611b783700441b"
  ).map(colors);
  var PRGn = ramp$1(scheme$p);
  var scheme$o = new Array(3).concat(
    "e9a3c9f7f7f7a1d76a",
    "d01c8bf1b6dab8e1864dac26",
    "d01c8bf1b6daf7f7f7b8e1864dac26",
    "c51b7de9a3c9fde0efe6f5d0a1d76a4d9221",
    "c51b7de9a3c9fde0eff7f7f7e6f5d0a1d76a4d9221",
    "c51b7dde77aef1b6dafde0efe6f5d0b8e1867fbc414d9221",
    "c51b7dde77aef1b6dafde0eff7f7f7e6f5d0b8e1867fbc414d9221",
    "8e0152c51b7dde77aef1b6dafde0efe6f5d0b8e1867fbc414d9221276419",
    "8e0152c51b7dde77aef1b6dafde0eff7f7f7e6f5d0b8e1867fbc414d9221276419"
  ).map(colors);
  var PiYG = ramp$1(scheme$o);
  var scheme$n = new Array(3).concat(
    "998ec3f7f7f7f1a340",
    "5e3c99b2abd2fdb863e66101",
    "5e3c99b2abd2f7f7f7fdb863e66101",
    "542788998ec3d8daebfee0b6f1a340b35806",
    "542788998ec3d8daebf7f7f7fee0b6f1a340b35806",
    "5427888073acb2abd2d8daebfee0b6fdb863e08214b35806",
    "5427888073acb2abd2d8daebf7f7f7fee0b6fdb863e08214b35806",
    "2d004b5427888073acb2abd2d8daebfee0b6fdb863e08214b358067f3b08",
    "2d004b5427888073acb2abd2d8daebf7f7f7fee0b6fdb863e08214b358067f3b08"
  ).map(colors);
  var PuOr = ramp$1(scheme$n);
  var scheme$m = new Array(3).concat(
    "ef8a62f7f7f767a9cf",
    "ca0020f4a58292c5de0571b0",
    "ca0020f4a582f7f7f792c5de0571b0",
    "b2182bef8a62fddbc7d1e5f067a9cf2166ac",
    "b2182bef8a62fddbc7f7f7f7d1e5f067a9cf2166ac",
    "b2182bd6604df4a582fddbc7d1e5f092c5de4393c32166ac",
    "b2182bd6604df4a582fddbc7f7f7f7d1e5f092c5de4393c32166ac",
    "67001fb2182bd6604df4a582fddbc7d1e5f092c5de4393c32166ac053061",
    "67001fb2182bd6604df4a582fddbc7f7f7f7d1e5f092c5de4393c32166ac053061"
  ).map(colors);
  var RdBu = ramp$1(scheme$m);
  var scheme$l = new Array(3).concat(
    "ef8a62ffffff999999",
    "ca0020f4a582bababa404040",
    "ca0020f4a582ffffffbababa404040",
    "b2182bef8a62fddbc7e0e0e09999994d4d4d",
    "b2182bef8a62fddbc7ffffffe0e0e09999994d4d4d",
    "b2182bd6604df4a582fddbc7e0e0e0bababa8787874d4d4d",
    "b2182bd6604df4a582fddbc7ffffffe0e0e0bababa8787874d4d4d",
    "67001fb2182bd6604df4a582fddbc7e0e0e0bababa8787874d4d4d1a1a1a",
    "67001fb2182bd6604df4a582fddbc7ffffffe0e0e0bababa8787874d4d4d1a1a1a"
  ).map(colors);
  var RdGy = ramp$1(scheme$l);
  var scheme$k = new Array(3).concat(
    "fc8d59ffffbf91bfdb",
    "d7191cfdae61abd9e92c7bb6",
    "d7191cfdae61ffffbfabd9e92c7bb6",
    "d73027fc8d59fee090e0f3f891bfdb4575b4",
    "d73027fc8d59fee090ffffbfe0f3f891bfdb4575b4",
    "d73027f46d43fdae61fee090e0f3f8abd9e974add14575b4",
    "d73027f46d43fdae61fee090ffffbfe0f3f8abd9e974add14575b4",
    "a50026d73027f46d43fdae61fee090e0f3f8abd9e974add14575b4313695",
    "a50026d73027f46d43fdae61fee090ffffbfe0f3f8abd9e974add14575b4313695"
  ).map(colors);
  var RdYlBu = ramp$1(scheme$k);
  var scheme$j = new Array(3).concat(
    "fc8d59ffffbf91cf60",
    "d7191cfdae61a6d96a1a9641",
    "d7191cfdae61ffffbfa6d96a1a9641",
    "d73027fc8d59fee08bd9ef8b91cf601a9850",
    "d73027fc8d59fee08bffffbfd9ef8b91cf601a9850",
    "d73027f46d43fdae61fee08bd9ef8ba6d96a66bd631a9850",
    "d73027f46d43fdae61fee08bffffbfd9ef8ba6d96a66bd631a9850",
    "a50026d73027f46d43fdae61fee08bd9ef8ba6d96a66bd631a9850006837",
    "a50026d73027f46d43fdae61fee08bffffbfd9ef8ba6d96a66bd631a9850006837"
  ).map(colors);
  var RdYlGn = ramp$1(scheme$j);
  var scheme$i = new Array(3).concat(
    "fc8d59ffffbf99d594",
    "d7191cfdae61abdda42b83ba",
    "d7191cfdae61ffffbfabdda42b83ba",
    "d53e4ffc8d59fee08be6f59899d5943288bd",
    "d53e4ffc8d59fee08bffffbfe6f59899d5943288bd",
    "d53e4ff46d43fdae61fee08be6f598abdda466c2a53288bd",
    "d53e4ff46d43fdae61fee08bffffbfe6f598abdda466c2a53288bd",
    "9e0142d53e4ff46d43fdae61fee08be6f598abdda466c2a53288bd5e4fa2",
    "9e0142d53e4ff46d43fdae61fee08bffffbfe6f598abdda466c2a53288bd5e4fa2"
  ).map(colors);
  var Spectral = ramp$1(scheme$i);
  var scheme$h = new Array(3).concat(
    "e5f5f999d8c92ca25f",
    "edf8fbb2e2e266c2a4238b45",
    "edf8fbb2e2e266c2a42ca25f006d2c",
    "edf8fbccece699d8c966c2a42ca25f006d2c",
    "edf8fbccece699d8c966c2a441ae76238b45005824",
    "f7fcfde5f5f9ccece699d8c966c2a441ae76238b45005824",
    "f7fcfde5f5f9ccece699d8c966c2a441ae76238b45006d2c00441b"
  ).map(colors);
  var BuGn = ramp$1(scheme$h);
  var scheme$g = new Array(3).concat(
    "e0ecf49ebcda8856a7",
    "edf8fbb3cde38c96c688419d",
    "edf8fbb3cde38c96c68856a7810f7c",
    "edf8fbbfd3e69ebcda8c96c68856a7810f7c",
    "edf8fbbfd3e69ebcda8c96c68c6bb188419d6e016b",
    "f7fcfde0ecf4bfd3e69ebcda8c96c68c6bb188419d6e016b",
    "f7fcfde0ecf4bfd3e69ebcda8c96c68c6bb188419d810f7c4d004b"
  ).map(colors);
  var BuPu = ramp$1(scheme$g);
  var scheme$f = new Array(3).concat(
    "e0f3dba8ddb543a2ca",
    "f0f9e8bae4bc7bccc42b8cbe",
    "f0f9e8bae4bc7bccc443a2ca0868ac",
    "f0f9e8ccebc5a8ddb57bccc443a2ca0868ac",
    "f0f9e8ccebc5a8ddb57bccc44eb3d32b8cbe08589e",
    "f7fcf0e0f3dbccebc5a8ddb57bccc44eb3d32b8cbe08589e",
    "f7fcf0e0f3dbccebc5a8ddb57bccc44eb3d32b8cbe0868ac084081"
  ).map(colors);
  var GnBu = ramp$1(scheme$f);
  var scheme$e = new Array(3).concat(
    "fee8c8fdbb84e34a33",
    "fef0d9fdcc8afc8d59d7301f",
    "fef0d9fdcc8afc8d59e34a33b30000",
    "fef0d9fdd49efdbb84fc8d59e34a33b30000",
    "fef0d9fdd49efdbb84fc8d59ef6548d7301f990000",
    "fff7ecfee8c8fdd49efdbb84fc8d59ef6548d7301f990000",
    "fff7ecfee8c8fdd49efdbb84fc8d59ef6548d7301fb300007f0000"
  ).map(colors);
  var OrRd = ramp$1(scheme$e);
  var scheme$d = new Array(3).concat(
    "ece2f0a6bddb1c9099",
    "f6eff7bdc9e167a9cf02818a",
    "f6eff7bdc9e167a9cf1c9099016c59",
    "f6eff7d0d1e6a6bddb67a9cf1c9099016c59",
    "f6eff7d0d1e6a6bddb67a9cf3690c002818a016450",
    "fff7fbece2f0d0d1e6a6bddb67a9cf3690c002818a016450",
    "fff7fbece2f0d0d1e6a6bddb67a9cf3690c002818a016c59014636"
  ).map(colors);
  var PuBuGn = ramp$1(scheme$d);
  var scheme$c = new Array(3).concat(
    "ece7f2a6bddb2b8cbe",
    "f1eef6bdc9e174a9cf0570b0",
    "f1eef6bdc9e174a9cf2b8cbe045a8d",
    "f1eef6d0d1e6a6bddb74a9cf2b8cbe045a8d",
    "f1eef6d0d1e6a6bddb74a9cf3690c00570b0034e7b",
    "fff7fbece7f2d0d1e6a6bddb74a9cf3690c00570b0034e7b",
    "fff7fbece7f2d0d1e6a6bddb74a9cf3690c00570b0045a8d023858"
  ).map(colors);
  var PuBu = ramp$1(scheme$c);
  var scheme$b = new Array(3).concat(
    "e7e1efc994c7dd1c77",
    "f1eef6d7b5d8df65b0ce1256",
    "f1eef6d7b5d8df65b0dd1c77980043",
    "f1eef6d4b9dac994c7df65b0dd1c77980043",
    "f1eef6d4b9dac994c7df65b0e7298ace125691003f",
    "f7f4f9e7e1efd4b9dac994c7df65b0e7298ace125691003f",
    "f7f4f9e7e1efd4b9dac994c7df65b0e7298ace125698004367001f"
  ).map(colors);
  var PuRd = ramp$1(scheme$b);
  var scheme$a = new Array(3).concat(
    "fde0ddfa9fb5c51b8a",
    "feebe2fbb4b9f768a1ae017e",
    "feebe2fbb4b9f768a1c51b8a7a0177",
    "feebe2fcc5c0fa9fb5f768a1c51b8a7a0177",
    "feebe2fcc5c0fa9fb5f768a1dd3497ae017e7a0177",
    "fff7f3fde0ddfcc5c0fa9fb5f768a1dd3497ae017e7a0177",
    "fff7f3fde0ddfcc5c0fa9fb5f768a1dd3497ae017e7a017749006a"
  ).map(colors);
  var RdPu = ramp$1(scheme$a);
  var scheme$9 = new Array(3).concat(
    "edf8b17fcdbb2c7fb8",
    "ffffcca1dab441b6c4225ea8",
    "ffffcca1dab441b6c42c7fb8253494",
    "ffffccc7e9b47fcdbb41b6c42c7fb8253494",
    "ffffccc7e9b47fcdbb41b6c41d91c0225ea80c2c84",
    "ffffd9edf8b1c7e9b47fcdbb41b6c41d91c0225ea80c2c84",
    "ffffd9edf8b1c7e9b47fcdbb41b6c41d91c0225ea8253494081d58"
  ).map(colors);
  var YlGnBu = ramp$1(scheme$9);
  var scheme$8 = new Array(3).concat(
    "f7fcb9addd8e31a354",
    "ffffccc2e69978c679238443",
    "ffffccc2e69978c67931a354006837",
    "ffffccd9f0a3addd8e78c67931a354006837",
    "ffffccd9f0a3addd8e78c67941ab5d238443005a32",
    "ffffe5f7fcb9d9f0a3addd8e78c67941ab5d238443005a32",
    "ffffe5f7fcb9d9f0a3addd8e78c67941ab5d238443006837004529"
  ).map(colors);
  var YlGn = ramp$1(scheme$8);
  var scheme$7 = new Array(3).concat(
    "fff7bcfec44fd95f0e",
    "ffffd4fed98efe9929cc4c02",
    "ffffd4fed98efe9929d95f0e993404",
    "ffffd4fee391fec44ffe9929d95f0e993404",
    "ffffd4fee391fec44ffe9929ec7014cc4c028c2d04",
    "ffffe5fff7bcfee391fec44ffe9929ec7014cc4c028c2d04",
    "ffffe5fff7bcfee391fec44ffe9929ec7014cc4c02993404662506"
  ).map(colors);
  var YlOrBr = ramp$1(scheme$7);
  var scheme$6 = new Array(3).concat(
    "ffeda0feb24cf03b20",
    "ffffb2fecc5cfd8d3ce31a1c",
    "ffffb2fecc5cfd8d3cf03b20bd0026",
    "ffffb2fed976feb24cfd8d3cf03b20bd0026",
    "ffffb2fed976feb24cfd8d3cfc4e2ae31a1cb10026",
    "ffffccffeda0fed976feb24cfd8d3cfc4e2ae31a1cb10026",
    "ffffccffeda0fed976feb24cfd8d3cfc4e2ae31a1cbd0026800026"
  ).map(colors);
  var YlOrRd = ramp$1(scheme$6);
  var scheme$5 = new Array(3).concat(
    "deebf79ecae13182bd",
    "eff3ffbdd7e76baed62171b5",
    "eff3ffbdd7e76baed63182bd08519c",
    "eff3ffc6dbef9ecae16baed63182bd08519c",
    "eff3ffc6dbef9ecae16baed64292c62171b5084594",
    "f7fbffdeebf7c6dbef9ecae16baed64292c62171b5084594",
    "f7fbffdeebf7c6dbef9ecae16baed64292c62171b508519c08306b"
  ).map(colors);
  var Blues = ramp$1(scheme$5);
  var scheme$4 = new Array(3).concat(
    "e5f5e0a1d99b31a354",
    "edf8e9bae4b374c476238b45",
    "edf8e9bae4b374c47631a354006d2c",
    "edf8e9c7e9c0a1d99b74c47631a354006d2c",
    "edf8e9c7e9c0a1d99b74c47641ab5d238b45005a32",
    "f7fcf5e5f5e0c7e9c0a1d99b74c47641ab5d238b45005a32",
    "f7fcf5e5f5e0c7e9c0a1d99b74c47641ab5d238b45006d2c00441b"
  ).map(colors);
  var Greens = ramp$1(scheme$4);
  var scheme$3 = new Array(3).concat(
    "f0f0f0bdbdbd636363",
    "f7f7f7cccccc969696525252",
    "f7f7f7cccccc969696636363252525",
    "f7f7f7d9d9d9bdbdbd969696636363252525",
    "f7f7f7d9d9d9bdbdbd969696737373525252252525",
    "fffffff0f0f0d9d9d9bdbdbd969696737373525252252525",
    "fffffff0f0f0d9d9d9bdbdbd969696737373525252252525000000"
  ).map(colors);
  var Greys = ramp$1(scheme$3);
  var scheme$2 = new Array(3).concat(
    "efedf5bcbddc756bb1",
    "f2f0f7cbc9e29e9ac86a51a3",
    "f2f0f7cbc9e29e9ac8756bb154278f",
    "f2f0f7dadaebbcbddc9e9ac8756bb154278f",
    "f2f0f7dadaebbcbddc9e9ac8807dba6a51a34a1486",
    "fcfbfdefedf5dadaebbcbddc9e9ac8807dba6a51a34a1486",
    "fcfbfdefedf5dadaebbcbddc9e9ac8807dba6a51a354278f3f007d"
  ).map(colors);
  var Purples = ramp$1(scheme$2);
  var scheme$1 = new Array(3).concat(
    "fee0d2fc9272de2d26",
    "fee5d9fcae91fb6a4acb181d",
    "fee5d9fcae91fb6a4ade2d26a50f15",
    "fee5d9fcbba1fc9272fb6a4ade2d26a50f15",
    "fee5d9fcbba1fc9272fb6a4aef3b2ccb181d99000d",
    "fff5f0fee0d2fcbba1fc9272fb6a4aef3b2ccb181d99000d",
    "fff5f0fee0d2fcbba1fc9272fb6a4aef3b2ccb181da50f1567000d"
  ).map(colors);
  var Reds = ramp$1(scheme$1);
  var scheme = new Array(3).concat(
    "fee6cefdae6be6550d",
    "feeddefdbe85fd8d3cd94701",
    "feeddefdbe85fd8d3ce6550da63603",
    "feeddefdd0a2fdae6bfd8d3ce6550da63603",
    "feeddefdd0a2fdae6bfd8d3cf16913d948018c2d04",
    "fff5ebfee6cefdd0a2fdae6bfd8d3cf16913d948018c2d04",
    "fff5ebfee6cefdd0a2fdae6bfd8d3cf16913d94801a636037f2704"
  ).map(colors);
  var Oranges = ramp$1(scheme);
  function cividis(t) {
    t = Math.max(0, Math.min(1, t));
    return "rgb(" + Math.max(0, Math.min(255, Math.round(-4.54 - t * (35.34 - t * (2381.73 - t * (6402.7 - t * (7024.72 - t * 2710.57))))))) + ", " + Math.max(0, Math.min(255, Math.round(32.49 + t * (170.73 + t * (52.82 - t * (131.46 - t * (176.58 - t * 67.37))))))) + ", " + Math.max(0, Math.min(255, Math.round(81.24 + t * (442.36 - t * (2482.43 - t * (6167.24 - t * (6614.94 - t * 2475.67))))))) + ")";
  }
  var cubehelix3 = cubehelixLong(cubehelix(300, 0.5, 0), cubehelix(-240, 0.5, 1));
  var warm = cubehelixLong(cubehelix(-100, 0.75, 0.35), cubehelix(80, 1.5, 0.8));
  var cool = cubehelixLong(cubehelix(260, 0.75, 0.35), cubehelix(80, 1.5, 0.8));
  var c$1 = cubehelix();
  function rainbow(t) {
    if (t < 0 || t > 1) t -= Math.floor(t);
    var ts = Math.abs(t - 0.5);
    c$1.h = 360 * t - 100;
    c$1.s = 1.5 - 1.5 * ts;
    c$1.l = 0.8 - 0.9 * ts;
    return c$1 + "";
  }
  var c = rgb();
  var pi_1_3 = Math.PI / 3;
  var pi_2_3 = Math.PI * 2 / 3;
  function sinebow(t) {
    var x2;
    t = (0.5 - t) * Math.PI;
    c.r = 255 * (x2 = Math.sin(t)) * x2;
    c.g = 255 * (x2 = Math.sin(t + pi_1_3)) * x2;
    c.b = 255 * (x2 = Math.sin(t + pi_2_3)) * x2;
    return c + "";
  }
  function turbo(t) {
    t = Math.max(0, Math.min(1, t));
    return "rgb(" + Math.max(0, Math.min(255, Math.round(34.61 + t * (1172.33 - t * (10793.56 - t * (33300.12 - t * (38394.49 - t * 14825.05))))))) + ", " + Math.max(0, Math.min(255, Math.round(23.31 + t * (557.33 + t * (1225.33 - t * (3574.96 - t * (1073.77 + t * 707.56))))))) + ", " + Math.max(0, Math.min(255, Math.round(27.2 + t * (3211.1 - t * (15327.97 - t * (27814 - t * (22569.18 - t * 6838.66))))))) + ")";
  }
  function ramp(range3) {
    var n = range3.length;
    return function(t) {
      return range3[Math.max(0, Math.min(n - 1, Math.floor(t * n)))];
    };
  }
  var viridis = ramp(colors("44015444025645045745055946075a46085c460a5d460b5e470d60470e6147106347116447136548146748166848176948186a481a6c481b6d481c6e481d6f481f70482071482173482374482475482576482677482878482979472a7a472c7a472d7b472e7c472f7d46307e46327e46337f463480453581453781453882443983443a83443b84433d84433e85423f854240864241864142874144874045884046883f47883f48893e49893e4a893e4c8a3d4d8a3d4e8a3c4f8a3c508b3b518b3b528b3a538b3a548c39558c39568c38588c38598c375a8c375b8d365c8d365d8d355e8d355f8d34608d34618d33628d33638d32648e32658e31668e31678e31688e30698e306a8e2f6b8e2f6c8e2e6d8e2e6e8e2e6f8e2d708e2d718e2c718e2c728e2c738e2b748e2b758e2a768e2a778e2a788e29798e297a8e297b8e287c8e287d8e277e8e277f8e27808e26818e26828e26828e25838e25848e25858e24868e24878e23888e23898e238a8d228b8d228c8d228d8d218e8d218f8d21908d21918c20928c20928c20938c1f948c1f958b1f968b1f978b1f988b1f998a1f9a8a1e9b8a1e9c891e9d891f9e891f9f881fa0881fa1881fa1871fa28720a38620a48621a58521a68522a78522a88423a98324aa8325ab8225ac8226ad8127ad8128ae8029af7f2ab07f2cb17e2db27d2eb37c2fb47c31b57b32b67a34b67935b77937b87838b9773aba763bbb753dbc743fbc7340bd7242be7144bf7046c06f48c16e4ac16d4cc26c4ec36b50c46a52c56954c56856c66758c7655ac8645cc8635ec96260ca6063cb5f65cb5e67cc5c69cd5b6ccd5a6ece5870cf5773d05675d05477d1537ad1517cd2507fd34e81d34d84d44b86d54989d5488bd6468ed64590d74393d74195d84098d83e9bd93c9dd93ba0da39a2da37a5db36a8db34aadc32addc30b0dd2fb2dd2db5de2bb8de29bade28bddf26c0df25c2df23c5e021c8e020cae11fcde11dd0e11cd2e21bd5e21ad8e219dae319dde318dfe318e2e418e5e419e7e419eae51aece51befe51cf1e51df4e61ef6e620f8e621fbe723fde725"));
  var magma = ramp(colors("00000401000501010601010802010902020b02020d03030f03031204041405041606051806051a07061c08071e0907200a08220b09240c09260d0a290e0b2b100b2d110c2f120d31130d34140e36150e38160f3b180f3d19103f1a10421c10441d11471e114920114b21114e22115024125325125527125829115a2a115c2c115f2d11612f116331116533106734106936106b38106c390f6e3b0f703d0f713f0f72400f74420f75440f764510774710784910784a10794c117a4e117b4f127b51127c52137c54137d56147d57157e59157e5a167e5c167f5d177f5f187f601880621980641a80651a80671b80681c816a1c816b1d816d1d816e1e81701f81721f817320817521817621817822817922827b23827c23827e24828025828125818326818426818627818827818928818b29818c29818e2a81902a81912b81932b80942c80962c80982d80992d809b2e7f9c2e7f9e2f7fa02f7fa1307ea3307ea5317ea6317da8327daa337dab337cad347cae347bb0357bb2357bb3367ab5367ab73779b83779ba3878bc3978bd3977bf3a77c03a76c23b75c43c75c53c74c73d73c83e73ca3e72cc3f71cd4071cf4070d0416fd2426fd3436ed5446dd6456cd8456cd9466bdb476adc4869de4968df4a68e04c67e24d66e34e65e44f64e55064e75263e85362e95462ea5661eb5760ec5860ed5a5fee5b5eef5d5ef05f5ef1605df2625df2645cf3655cf4675cf4695cf56b5cf66c5cf66e5cf7705cf7725cf8745cf8765cf9785df9795df97b5dfa7d5efa7f5efa815ffb835ffb8560fb8761fc8961fc8a62fc8c63fc8e64fc9065fd9266fd9467fd9668fd9869fd9a6afd9b6bfe9d6cfe9f6dfea16efea36ffea571fea772fea973feaa74feac76feae77feb078feb27afeb47bfeb67cfeb77efeb97ffebb81febd82febf84fec185fec287fec488fec68afec88cfeca8dfecc8ffecd90fecf92fed194fed395fed597fed799fed89afdda9cfddc9efddea0fde0a1fde2a3fde3a5fde5a7fde7a9fde9aafdebacfcecaefceeb0fcf0b2fcf2b4fcf4b6fcf6b8fcf7b9fcf9bbfcfbbdfcfdbf"));
  var inferno = ramp(colors("00000401000501010601010802010a02020c02020e03021004031204031405041706041907051b08051d09061f0a07220b07240c08260d08290e092b10092d110a30120a32140b34150b37160b39180c3c190c3e1b0c411c0c431e0c451f0c48210c4a230c4c240c4f260c51280b53290b552b0b572d0b592f0a5b310a5c320a5e340a5f3609613809623909633b09643d09653e0966400a67420a68440a68450a69470b6a490b6a4a0c6b4c0c6b4d0d6c4f0d6c510e6c520e6d540f6d550f6d57106e59106e5a116e5c126e5d126e5f136e61136e62146e64156e65156e67166e69166e6a176e6c186e6d186e6f196e71196e721a6e741a6e751b6e771c6d781c6d7a1d6d7c1d6d7d1e6d7f1e6c801f6c82206c84206b85216b87216b88226a8a226a8c23698d23698f24699025689225689326679526679727669827669a28659b29649d29649f2a63a02a63a22b62a32c61a52c60a62d60a82e5fa92e5eab2f5ead305dae305cb0315bb1325ab3325ab43359b63458b73557b93556ba3655bc3754bd3853bf3952c03a51c13a50c33b4fc43c4ec63d4dc73e4cc83f4bca404acb4149cc4248ce4347cf4446d04545d24644d34743d44842d54a41d74b3fd84c3ed94d3dda4e3cdb503bdd513ade5238df5337e05536e15635e25734e35933e45a31e55c30e65d2fe75e2ee8602de9612bea632aeb6429eb6628ec6726ed6925ee6a24ef6c23ef6e21f06f20f1711ff1731df2741cf3761bf37819f47918f57b17f57d15f67e14f68013f78212f78410f8850ff8870ef8890cf98b0bf98c0af98e09fa9008fa9207fa9407fb9606fb9706fb9906fb9b06fb9d07fc9f07fca108fca309fca50afca60cfca80dfcaa0ffcac11fcae12fcb014fcb216fcb418fbb61afbb81dfbba1ffbbc21fbbe23fac026fac228fac42afac62df9c72ff9c932f9cb35f8cd37f8cf3af7d13df7d340f6d543f6d746f5d949f5db4cf4dd4ff4df53f4e156f3e35af3e55df2e661f2e865f2ea69f1ec6df1ed71f1ef75f1f179f2f27df2f482f3f586f3f68af4f88ef5f992f6fa96f8fb9af9fc9dfafda1fcffa4"));
  var plasma = ramp(colors("0d088710078813078916078a19068c1b068d1d068e20068f2206902406912605912805922a05932c05942e05952f059631059733059735049837049938049a3a049a3c049b3e049c3f049c41049d43039e44039e46039f48039f4903a04b03a14c02a14e02a25002a25102a35302a35502a45601a45801a45901a55b01a55c01a65e01a66001a66100a76300a76400a76600a76700a86900a86a00a86c00a86e00a86f00a87100a87201a87401a87501a87701a87801a87a02a87b02a87d03a87e03a88004a88104a78305a78405a78606a68707a68808a68a09a58b0aa58d0ba58e0ca48f0da4910ea3920fa39410a29511a19613a19814a099159f9a169f9c179e9d189d9e199da01a9ca11b9ba21d9aa31e9aa51f99a62098a72197a82296aa2395ab2494ac2694ad2793ae2892b02991b12a90b22b8fb32c8eb42e8db52f8cb6308bb7318ab83289ba3388bb3488bc3587bd3786be3885bf3984c03a83c13b82c23c81c33d80c43e7fc5407ec6417dc7427cc8437bc9447aca457acb4679cc4778cc4977cd4a76ce4b75cf4c74d04d73d14e72d24f71d35171d45270d5536fd5546ed6556dd7566cd8576bd9586ada5a6ada5b69db5c68dc5d67dd5e66de5f65de6164df6263e06363e16462e26561e26660e3685fe4695ee56a5de56b5de66c5ce76e5be76f5ae87059e97158e97257ea7457eb7556eb7655ec7754ed7953ed7a52ee7b51ef7c51ef7e50f07f4ff0804ef1814df1834cf2844bf3854bf3874af48849f48948f58b47f58c46f68d45f68f44f79044f79143f79342f89441f89540f9973ff9983ef99a3efa9b3dfa9c3cfa9e3bfb9f3afba139fba238fca338fca537fca636fca835fca934fdab33fdac33fdae32fdaf31fdb130fdb22ffdb42ffdb52efeb72dfeb82cfeba2cfebb2bfebd2afebe2afec029fdc229fdc328fdc527fdc627fdc827fdca26fdcb26fccd25fcce25fcd025fcd225fbd324fbd524fbd724fad824fada24f9dc24f9dd25f8df25f8e125f7e225f7e425f6e626f6e826f5e926f5eb27f4ed27f3ee27f3f027f2f227f1f426f1f525f0f724f0f921"));

  // node_modules/d3-shape/dist/d3-shape.mjs
  function constant3(x2) {
    return function constant5() {
      return x2;
    };
  }
  var cos2 = Math.cos;
  var min2 = Math.min;
  var sin2 = Math.sin;
  var sqrt2 = Math.sqrt;
  var epsilon5 = 1e-12;
  var pi3 = Math.PI;
  var halfPi2 = pi3 / 2;
  var tau3 = 2 * pi3;
  function withPath(shape) {
    let digits = 3;
    shape.digits = function(_) {
      if (!arguments.length) return digits;
      if (_ == null) {
        digits = null;
      } else {
        const d = Math.floor(_);
        if (!(d >= 0)) throw new RangeError(`invalid digits: ${_}`);
        digits = d;
      }
      return shape;
    };
    return () => new Path(digits);
  }
  var slice2 = Array.prototype.slice;
  function array3(x2) {
    return typeof x2 === "object" && "length" in x2 ? x2 : Array.from(x2);
  }
  function Linear(context) {
    this._context = context;
  }
  Linear.prototype = {
    areaStart: function() {
      this._line = 0;
    },
    areaEnd: function() {
      this._line = NaN;
    },
    lineStart: function() {
      this._point = 0;
    },
    lineEnd: function() {
      if (this._line || this._line !== 0 && this._point === 1) this._context.closePath();
      this._line = 1 - this._line;
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      switch (this._point) {
        case 0:
          this._point = 1;
          this._line ? this._context.lineTo(x2, y2) : this._context.moveTo(x2, y2);
          break;
        case 1:
          this._point = 2;
        // falls through
        default:
          this._context.lineTo(x2, y2);
          break;
      }
    }
  };
  function curveLinear(context) {
    return new Linear(context);
  }
  function x(p) {
    return p[0];
  }
  function y(p) {
    return p[1];
  }
  function line(x$1, y$1) {
    var defined2 = constant3(true), context = null, curve2 = curveLinear, output = null, path2 = withPath(line4);
    x$1 = typeof x$1 === "function" ? x$1 : x$1 === void 0 ? x : constant3(x$1);
    y$1 = typeof y$1 === "function" ? y$1 : y$1 === void 0 ? y : constant3(y$1);
    function line4(data) {
      var i, n = (data = array3(data)).length, d, defined0 = false, buffer;
      if (context == null) output = curve2(buffer = path2());
      for (i = 0; i <= n; ++i) {
        if (!(i < n && defined2(d = data[i], i, data)) === defined0) {
          if (defined0 = !defined0) output.lineStart();
          else output.lineEnd();
        }
        if (defined0) output.point(+x$1(d, i, data), +y$1(d, i, data));
      }
      if (buffer) return output = null, buffer + "" || null;
    }
    line4.x = function(_) {
      return arguments.length ? (x$1 = typeof _ === "function" ? _ : constant3(+_), line4) : x$1;
    };
    line4.y = function(_) {
      return arguments.length ? (y$1 = typeof _ === "function" ? _ : constant3(+_), line4) : y$1;
    };
    line4.defined = function(_) {
      return arguments.length ? (defined2 = typeof _ === "function" ? _ : constant3(!!_), line4) : defined2;
    };
    line4.curve = function(_) {
      return arguments.length ? (curve2 = _, context != null && (output = curve2(context)), line4) : curve2;
    };
    line4.context = function(_) {
      return arguments.length ? (_ == null ? context = output = null : output = curve2(context = _), line4) : context;
    };
    return line4;
  }
  function area(x02, y02, y12) {
    var x12 = null, defined2 = constant3(true), context = null, curve2 = curveLinear, output = null, path2 = withPath(area3);
    x02 = typeof x02 === "function" ? x02 : x02 === void 0 ? x : constant3(+x02);
    y02 = typeof y02 === "function" ? y02 : y02 === void 0 ? constant3(0) : constant3(+y02);
    y12 = typeof y12 === "function" ? y12 : y12 === void 0 ? y : constant3(+y12);
    function area3(data) {
      var i, j, k2, n = (data = array3(data)).length, d, defined0 = false, buffer, x0z = new Array(n), y0z = new Array(n);
      if (context == null) output = curve2(buffer = path2());
      for (i = 0; i <= n; ++i) {
        if (!(i < n && defined2(d = data[i], i, data)) === defined0) {
          if (defined0 = !defined0) {
            j = i;
            output.areaStart();
            output.lineStart();
          } else {
            output.lineEnd();
            output.lineStart();
            for (k2 = i - 1; k2 >= j; --k2) {
              output.point(x0z[k2], y0z[k2]);
            }
            output.lineEnd();
            output.areaEnd();
          }
        }
        if (defined0) {
          x0z[i] = +x02(d, i, data), y0z[i] = +y02(d, i, data);
          output.point(x12 ? +x12(d, i, data) : x0z[i], y12 ? +y12(d, i, data) : y0z[i]);
        }
      }
      if (buffer) return output = null, buffer + "" || null;
    }
    function arealine() {
      return line().defined(defined2).curve(curve2).context(context);
    }
    area3.x = function(_) {
      return arguments.length ? (x02 = typeof _ === "function" ? _ : constant3(+_), x12 = null, area3) : x02;
    };
    area3.x0 = function(_) {
      return arguments.length ? (x02 = typeof _ === "function" ? _ : constant3(+_), area3) : x02;
    };
    area3.x1 = function(_) {
      return arguments.length ? (x12 = _ == null ? null : typeof _ === "function" ? _ : constant3(+_), area3) : x12;
    };
    area3.y = function(_) {
      return arguments.length ? (y02 = typeof _ === "function" ? _ : constant3(+_), y12 = null, area3) : y02;
    };
    area3.y0 = function(_) {
      return arguments.length ? (y02 = typeof _ === "function" ? _ : constant3(+_), area3) : y02;
    };
    area3.y1 = function(_) {
      return arguments.length ? (y12 = _ == null ? null : typeof _ === "function" ? _ : constant3(+_), area3) : y12;
    };
    area3.lineX0 = area3.lineY0 = function() {
      return arealine().x(x02).y(y02);
    };
    area3.lineY1 = function() {
      return arealine().x(x02).y(y12);
    };
    area3.lineX1 = function() {
      return arealine().x(x12).y(y02);
    };
    area3.defined = function(_) {
      return arguments.length ? (defined2 = typeof _ === "function" ? _ : constant3(!!_), area3) : defined2;
    };
    area3.curve = function(_) {
      return arguments.length ? (curve2 = _, context != null && (output = curve2(context)), area3) : curve2;
    };
    area3.context = function(_) {
      return arguments.length ? (_ == null ? context = output = null : output = curve2(context = _), area3) : context;
    };
    return area3;
  }
  var curveRadialLinear = curveRadial(curveLinear);
  function Radial(curve2) {
    this._curve = curve2;
  }
  Radial.prototype = {
    areaStart: function() {
      this._curve.areaStart();
    },
    areaEnd: function() {
      this._curve.areaEnd();
    },
    lineStart: function() {
      this._curve.lineStart();
    },
    lineEnd: function() {
      this._curve.lineEnd();
    },
    point: function(a2, r) {
      this._curve.point(r * Math.sin(a2), r * -Math.cos(a2));
    }
  };
  function curveRadial(curve2) {
    function radial(context) {
      return new Radial(curve2(context));
    }
    radial._curve = curve2;
    return radial;
  }
  var Bump = class {
    constructor(context, x2) {
      this._context = context;
      this._x = x2;
    }
    areaStart() {
      this._line = 0;
    }
    areaEnd() {
      this._line = NaN;
    }
    lineStart() {
      this._point = 0;
    }
    lineEnd() {
      if (this._line || this._line !== 0 && this._point === 1) this._context.closePath();
      this._line = 1 - this._line;
    }
    point(x2, y2) {
      x2 = +x2, y2 = +y2;
      switch (this._point) {
        case 0: {
          this._point = 1;
          if (this._line) this._context.lineTo(x2, y2);
          else this._context.moveTo(x2, y2);
          break;
        }
        case 1:
          this._point = 2;
        // falls through
        default: {
          if (this._x) this._context.bezierCurveTo(this._x0 = (this._x0 + x2) / 2, this._y0, this._x0, y2, x2, y2);
          else this._context.bezierCurveTo(this._x0, this._y0 = (this._y0 + y2) / 2, x2, this._y0, x2, y2);
          break;
        }
      }
      this._x0 = x2, this._y0 = y2;
    }
  };
  function bumpX(context) {
    return new Bump(context, true);
  }
  function bumpY(context) {
    return new Bump(context, false);
  }
  var sqrt3$2 = sqrt2(3);
  var asterisk = {
    draw(context, size) {
      const r = sqrt2(size + min2(size / 28, 0.75)) * 0.59436;
      const t = r / 2;
      const u = t * sqrt3$2;
      context.moveTo(0, r);
      context.lineTo(0, -r);
      context.moveTo(-u, -t);
      context.lineTo(u, t);
      context.moveTo(-u, t);
      context.lineTo(u, -t);
    }
  };
  var circle = {
    draw(context, size) {
      const r = sqrt2(size / pi3);
      context.moveTo(r, 0);
      context.arc(0, 0, r, 0, tau3);
    }
  };
  var cross2 = {
    draw(context, size) {
      const r = sqrt2(size / 5) / 2;
      context.moveTo(-3 * r, -r);
      context.lineTo(-r, -r);
      context.lineTo(-r, -3 * r);
      context.lineTo(r, -3 * r);
      context.lineTo(r, -r);
      context.lineTo(3 * r, -r);
      context.lineTo(3 * r, r);
      context.lineTo(r, r);
      context.lineTo(r, 3 * r);
      context.lineTo(-r, 3 * r);
      context.lineTo(-r, r);
      context.lineTo(-3 * r, r);
      context.closePath();
    }
  };
  var tan30 = sqrt2(1 / 3);
  var tan30_2 = tan30 * 2;
  var diamond = {
    draw(context, size) {
      const y2 = sqrt2(size / tan30_2);
      const x2 = y2 * tan30;
      context.moveTo(0, -y2);
      context.lineTo(x2, 0);
      context.lineTo(0, y2);
      context.lineTo(-x2, 0);
      context.closePath();
    }
  };
  var diamond2 = {
    draw(context, size) {
      const r = sqrt2(size) * 0.62625;
      context.moveTo(0, -r);
      context.lineTo(r, 0);
      context.lineTo(0, r);
      context.lineTo(-r, 0);
      context.closePath();
    }
  };
  var plus = {
    draw(context, size) {
      const r = sqrt2(size - min2(size / 7, 2)) * 0.87559;
      context.moveTo(-r, 0);
      context.lineTo(r, 0);
      context.moveTo(0, r);
      context.lineTo(0, -r);
    }
  };
  var square = {
    draw(context, size) {
      const w = sqrt2(size);
      const x2 = -w / 2;
      context.rect(x2, x2, w, w);
    }
  };
  var square2 = {
    draw(context, size) {
      const r = sqrt2(size) * 0.4431;
      context.moveTo(r, r);
      context.lineTo(r, -r);
      context.lineTo(-r, -r);
      context.lineTo(-r, r);
      context.closePath();
    }
  };
  var ka = 0.8908130915292852;
  var kr = sin2(pi3 / 10) / sin2(7 * pi3 / 10);
  var kx = sin2(tau3 / 10) * kr;
  var ky = -cos2(tau3 / 10) * kr;
  var star = {
    draw(context, size) {
      const r = sqrt2(size * ka);
      const x2 = kx * r;
      const y2 = ky * r;
      context.moveTo(0, -r);
      context.lineTo(x2, y2);
      for (let i = 1; i < 5; ++i) {
        const a2 = tau3 * i / 5;
        const c3 = cos2(a2);
        const s3 = sin2(a2);
        context.lineTo(s3 * r, -c3 * r);
        context.lineTo(c3 * x2 - s3 * y2, s3 * x2 + c3 * y2);
      }
      context.closePath();
    }
  };
  var sqrt3$1 = sqrt2(3);
  var triangle = {
    draw(context, size) {
      const y2 = -sqrt2(size / (sqrt3$1 * 3));
      context.moveTo(0, y2 * 2);
      context.lineTo(-sqrt3$1 * y2, -y2);
      context.lineTo(sqrt3$1 * y2, -y2);
      context.closePath();
    }
  };
  var sqrt3 = sqrt2(3);
  var triangle2 = {
    draw(context, size) {
      const s3 = sqrt2(size) * 0.6824;
      const t = s3 / 2;
      const u = s3 * sqrt3 / 2;
      context.moveTo(0, -s3);
      context.lineTo(u, t);
      context.lineTo(-u, t);
      context.closePath();
    }
  };
  var c2 = -0.5;
  var s = sqrt2(3) / 2;
  var k = 1 / sqrt2(12);
  var a = (k / 2 + 1) * 3;
  var wye = {
    draw(context, size) {
      const r = sqrt2(size / a);
      const x02 = r / 2, y02 = r * k;
      const x12 = x02, y12 = r * k + r;
      const x2 = -x12, y2 = y12;
      context.moveTo(x02, y02);
      context.lineTo(x12, y12);
      context.lineTo(x2, y2);
      context.lineTo(c2 * x02 - s * y02, s * x02 + c2 * y02);
      context.lineTo(c2 * x12 - s * y12, s * x12 + c2 * y12);
      context.lineTo(c2 * x2 - s * y2, s * x2 + c2 * y2);
      context.lineTo(c2 * x02 + s * y02, c2 * y02 - s * x02);
      context.lineTo(c2 * x12 + s * y12, c2 * y12 - s * x12);
      context.lineTo(c2 * x2 + s * y2, c2 * y2 - s * x2);
      context.closePath();
    }
  };
  var times = {
    draw(context, size) {
      const r = sqrt2(size - min2(size / 6, 1.7)) * 0.6189;
      context.moveTo(-r, -r);
      context.lineTo(r, r);
      context.moveTo(-r, r);
      context.lineTo(r, -r);
    }
  };
  var symbolsFill = [
    circle,
    cross2,
    diamond,
    square,
    star,
    triangle,
    wye
  ];
  var symbolsStroke = [
    circle,
    plus,
    times,
    triangle2,
    asterisk,
    square2,
    diamond2
  ];
  function noop2() {
  }
  function point$3(that, x2, y2) {
    that._context.bezierCurveTo(
      (2 * that._x0 + that._x1) / 3,
      (2 * that._y0 + that._y1) / 3,
      (that._x0 + 2 * that._x1) / 3,
      (that._y0 + 2 * that._y1) / 3,
      (that._x0 + 4 * that._x1 + x2) / 6,
      (that._y0 + 4 * that._y1 + y2) / 6
    );
  }
  function Basis(context) {
    this._context = context;
  }
  Basis.prototype = {
    areaStart: function() {
      this._line = 0;
    },
    areaEnd: function() {
      this._line = NaN;
    },
    lineStart: function() {
      this._x0 = this._x1 = this._y0 = this._y1 = NaN;
      this._point = 0;
    },
    lineEnd: function() {
      switch (this._point) {
        case 3:
          point$3(this, this._x1, this._y1);
        // falls through
        case 2:
          this._context.lineTo(this._x1, this._y1);
          break;
      }
      if (this._line || this._line !== 0 && this._point === 1) this._context.closePath();
      this._line = 1 - this._line;
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      switch (this._point) {
        case 0:
          this._point = 1;
          this._line ? this._context.lineTo(x2, y2) : this._context.moveTo(x2, y2);
          break;
        case 1:
          this._point = 2;
          break;
        case 2:
          this._point = 3;
          this._context.lineTo((5 * this._x0 + this._x1) / 6, (5 * this._y0 + this._y1) / 6);
        // falls through
        default:
          point$3(this, x2, y2);
          break;
      }
      this._x0 = this._x1, this._x1 = x2;
      this._y0 = this._y1, this._y1 = y2;
    }
  };
  function basis2(context) {
    return new Basis(context);
  }
  function BasisClosed(context) {
    this._context = context;
  }
  BasisClosed.prototype = {
    areaStart: noop2,
    areaEnd: noop2,
    lineStart: function() {
      this._x0 = this._x1 = this._x2 = this._x3 = this._x4 = this._y0 = this._y1 = this._y2 = this._y3 = this._y4 = NaN;
      this._point = 0;
    },
    lineEnd: function() {
      switch (this._point) {
        case 1: {
          this._context.moveTo(this._x2, this._y2);
          this._context.closePath();
          break;
        }
        case 2: {
          this._context.moveTo((this._x2 + 2 * this._x3) / 3, (this._y2 + 2 * this._y3) / 3);
          this._context.lineTo((this._x3 + 2 * this._x2) / 3, (this._y3 + 2 * this._y2) / 3);
          this._context.closePath();
          break;
        }
        case 3: {
          this.point(this._x2, this._y2);
          this.point(this._x3, this._y3);
          this.point(this._x4, this._y4);
          break;
        }
      }
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      switch (this._point) {
        case 0:
          this._point = 1;
          this._x2 = x2, this._y2 = y2;
          break;
        case 1:
          this._point = 2;
          this._x3 = x2, this._y3 = y2;
          break;
        case 2:
          this._point = 3;
          this._x4 = x2, this._y4 = y2;
          this._context.moveTo((this._x0 + 4 * this._x1 + x2) / 6, (this._y0 + 4 * this._y1 + y2) / 6);
          break;
        default:
          point$3(this, x2, y2);
          break;
      }
      this._x0 = this._x1, this._x1 = x2;
      this._y0 = this._y1, this._y1 = y2;
    }
  };
  function basisClosed2(context) {
    return new BasisClosed(context);
  }
  function BasisOpen(context) {
    this._context = context;
  }
  BasisOpen.prototype = {
    areaStart: function() {
      this._line = 0;
    },
    areaEnd: function() {
      this._line = NaN;
    },
    lineStart: function() {
      this._x0 = this._x1 = this._y0 = this._y1 = NaN;
      this._point = 0;
    },
    lineEnd: function() {
      if (this._line || this._line !== 0 && this._point === 3) this._context.closePath();
      this._line = 1 - this._line;
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      switch (this._point) {
        case 0:
          this._point = 1;
          break;
        case 1:
          this._point = 2;
          break;
        case 2:
          this._point = 3;
          var x02 = (this._x0 + 4 * this._x1 + x2) / 6, y02 = (this._y0 + 4 * this._y1 + y2) / 6;
          this._line ? this._context.lineTo(x02, y02) : this._context.moveTo(x02, y02);
          break;
        case 3:
          this._point = 4;
        // falls through
        default:
          point$3(this, x2, y2);
          break;
      }
      this._x0 = this._x1, this._x1 = x2;
      this._y0 = this._y1, this._y1 = y2;
    }
  };
  function basisOpen(context) {
    return new BasisOpen(context);
  }
  function Bundle(context, beta) {
    this._basis = new Basis(context);
    this._beta = beta;
  }
  Bundle.prototype = {
    lineStart: function() {
      this._x = [];
      this._y = [];
      this._basis.lineStart();
    },
    lineEnd: function() {
      var x2 = this._x, y2 = this._y, j = x2.length - 1;
      if (j > 0) {
        var x02 = x2[0], y02 = y2[0], dx = x2[j] - x02, dy = y2[j] - y02, i = -1, t;
        while (++i <= j) {
          t = i / j;
          this._basis.point(
            this._beta * x2[i] + (1 - this._beta) * (x02 + t * dx),
            this._beta * y2[i] + (1 - this._beta) * (y02 + t * dy)
          );
        }
      }
      this._x = this._y = null;
      this._basis.lineEnd();
    },
    point: function(x2, y2) {
      this._x.push(+x2);
      this._y.push(+y2);
    }
  };
  var bundle = (function custom(beta) {
    function bundle2(context) {
      return beta === 1 ? new Basis(context) : new Bundle(context, beta);
    }
    bundle2.beta = function(beta2) {
      return custom(+beta2);
    };
    return bundle2;
  })(0.85);
  function point$2(that, x2, y2) {
    that._context.bezierCurveTo(
      that._x1 + that._k * (that._x2 - that._x0),
      that._y1 + that._k * (that._y2 - that._y0),
      that._x2 + that._k * (that._x1 - x2),
      that._y2 + that._k * (that._y1 - y2),
      that._x2,
      that._y2
    );
  }
  function Cardinal(context, tension) {
    this._context = context;
    this._k = (1 - tension) / 6;
  }
  Cardinal.prototype = {
    areaStart: function() {
      this._line = 0;
    },
    areaEnd: function() {
      this._line = NaN;
    },
    lineStart: function() {
      this._x0 = this._x1 = this._x2 = this._y0 = this._y1 = this._y2 = NaN;
      this._point = 0;
    },
    lineEnd: function() {
      switch (this._point) {
        case 2:
          this._context.lineTo(this._x2, this._y2);
          break;
        case 3:
          point$2(this, this._x1, this._y1);
          break;
      }
      if (this._line || this._line !== 0 && this._point === 1) this._context.closePath();
      this._line = 1 - this._line;
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      switch (this._point) {
        case 0:
          this._point = 1;
          this._line ? this._context.lineTo(x2, y2) : this._context.moveTo(x2, y2);
          break;
        case 1:
          this._point = 2;
          this._x1 = x2, this._y1 = y2;
          break;
        case 2:
          this._point = 3;
        // falls through
        default:
          point$2(this, x2, y2);
          break;
      }
      this._x0 = this._x1, this._x1 = this._x2, this._x2 = x2;
      this._y0 = this._y1, this._y1 = this._y2, this._y2 = y2;
    }
  };
  var cardinal = (function custom2(tension) {
    function cardinal2(context) {
      return new Cardinal(context, tension);
    }
    cardinal2.tension = function(tension2) {
      return custom2(+tension2);
    };
    return cardinal2;
  })(0);
  function CardinalClosed(context, tension) {
    this._context = context;
    this._k = (1 - tension) / 6;
  }
  CardinalClosed.prototype = {
    areaStart: noop2,
    areaEnd: noop2,
    lineStart: function() {
      this._x0 = this._x1 = this._x2 = this._x3 = this._x4 = this._x5 = this._y0 = this._y1 = this._y2 = this._y3 = this._y4 = this._y5 = NaN;
      this._point = 0;
    },
    lineEnd: function() {
      switch (this._point) {
        case 1: {
          this._context.moveTo(this._x3, this._y3);
          this._context.closePath();
          break;
        }
        case 2: {
          this._context.lineTo(this._x3, this._y3);
          this._context.closePath();
          break;
        }
        case 3: {
          this.point(this._x3, this._y3);
          this.point(this._x4, this._y4);
          this.point(this._x5, this._y5);
          break;
        }
      }
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      switch (this._point) {
        case 0:
          this._point = 1;
          this._x3 = x2, this._y3 = y2;
          break;
        case 1:
          this._point = 2;
          this._context.moveTo(this._x4 = x2, this._y4 = y2);
          break;
        case 2:
          this._point = 3;
          this._x5 = x2, this._y5 = y2;
          break;
        default:
          point$2(this, x2, y2);
          break;
      }
      this._x0 = this._x1, this._x1 = this._x2, this._x2 = x2;
      this._y0 = this._y1, this._y1 = this._y2, this._y2 = y2;
    }
  };
  var cardinalClosed = (function custom3(tension) {
    function cardinal2(context) {
      return new CardinalClosed(context, tension);
    }
    cardinal2.tension = function(tension2) {
      return custom3(+tension2);
    };
    return cardinal2;
  })(0);
  function CardinalOpen(context, tension) {
    this._context = context;
    this._k = (1 - tension) / 6;
  }
  CardinalOpen.prototype = {
    areaStart: function() {
      this._line = 0;
    },
    areaEnd: function() {
      this._line = NaN;
    },
    lineStart: function() {
      this._x0 = this._x1 = this._x2 = this._y0 = this._y1 = this._y2 = NaN;
      this._point = 0;
    },
    lineEnd: function() {
      if (this._line || this._line !== 0 && this._point === 3) this._context.closePath();
      this._line = 1 - this._line;
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      switch (this._point) {
        case 0:
          this._point = 1;
          break;
        case 1:
          this._point = 2;
          break;
        case 2:
          this._point = 3;
          this._line ? this._context.lineTo(this._x2, this._y2) : this._context.moveTo(this._x2, this._y2);
          break;
        case 3:
          this._point = 4;
        // falls through
        default:
          point$2(this, x2, y2);
          break;
      }
      this._x0 = this._x1, this._x1 = this._x2, this._x2 = x2;
      this._y0 = this._y1, this._y1 = this._y2, this._y2 = y2;
    }
  };
  var cardinalOpen = (function custom4(tension) {
    function cardinal2(context) {
      return new CardinalOpen(context, tension);
    }
    cardinal2.tension = function(tension2) {
      return custom4(+tension2);
    };
    return cardinal2;
  })(0);
  function point$1(that, x2, y2) {
    var x12 = that._x1, y12 = that._y1, x22 = that._x2, y22 = that._y2;
    if (that._l01_a > epsilon5) {
      var a2 = 2 * that._l01_2a + 3 * that._l01_a * that._l12_a + that._l12_2a, n = 3 * that._l01_a * (that._l01_a + that._l12_a);
      x12 = (x12 * a2 - that._x0 * that._l12_2a + that._x2 * that._l01_2a) / n;
      y12 = (y12 * a2 - that._y0 * that._l12_2a + that._y2 * that._l01_2a) / n;
    }
    if (that._l23_a > epsilon5) {
      var b = 2 * that._l23_2a + 3 * that._l23_a * that._l12_a + that._l12_2a, m = 3 * that._l23_a * (that._l23_a + that._l12_a);
      x22 = (x22 * b + that._x1 * that._l23_2a - x2 * that._l12_2a) / m;
      y22 = (y22 * b + that._y1 * that._l23_2a - y2 * that._l12_2a) / m;
    }
    that._context.bezierCurveTo(x12, y12, x22, y22, that._x2, that._y2);
  }
  function CatmullRom(context, alpha) {
    this._context = context;
    this._alpha = alpha;
  }
  CatmullRom.prototype = {
    areaStart: function() {
      this._line = 0;
    },
    areaEnd: function() {
      this._line = NaN;
    },
    lineStart: function() {
      this._x0 = this._x1 = this._x2 = this._y0 = this._y1 = this._y2 = NaN;
      this._l01_a = this._l12_a = this._l23_a = this._l01_2a = this._l12_2a = this._l23_2a = this._point = 0;
    },
    lineEnd: function() {
      switch (this._point) {
        case 2:
          this._context.lineTo(this._x2, this._y2);
          break;
        case 3:
          this.point(this._x2, this._y2);
          break;
      }
      if (this._line || this._line !== 0 && this._point === 1) this._context.closePath();
      this._line = 1 - this._line;
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      if (this._point) {
        var x23 = this._x2 - x2, y23 = this._y2 - y2;
        this._l23_a = Math.sqrt(this._l23_2a = Math.pow(x23 * x23 + y23 * y23, this._alpha));
      }
      switch (this._point) {
        case 0:
          this._point = 1;
          this._line ? this._context.lineTo(x2, y2) : this._context.moveTo(x2, y2);
          break;
        case 1:
          this._point = 2;
          break;
        case 2:
          this._point = 3;
        // falls through
        default:
          point$1(this, x2, y2);
          break;
      }
      this._l01_a = this._l12_a, this._l12_a = this._l23_a;
      this._l01_2a = this._l12_2a, this._l12_2a = this._l23_2a;
      this._x0 = this._x1, this._x1 = this._x2, this._x2 = x2;
      this._y0 = this._y1, this._y1 = this._y2, this._y2 = y2;
    }
  };
  var catmullRom = (function custom5(alpha) {
    function catmullRom2(context) {
      return alpha ? new CatmullRom(context, alpha) : new Cardinal(context, 0);
    }
    catmullRom2.alpha = function(alpha2) {
      return custom5(+alpha2);
    };
    return catmullRom2;
  })(0.5);
  function CatmullRomClosed(context, alpha) {
    this._context = context;
    this._alpha = alpha;
  }
  CatmullRomClosed.prototype = {
    areaStart: noop2,
    areaEnd: noop2,
    lineStart: function() {
      this._x0 = this._x1 = this._x2 = this._x3 = this._x4 = this._x5 = this._y0 = this._y1 = this._y2 = this._y3 = this._y4 = this._y5 = NaN;
      this._l01_a = this._l12_a = this._l23_a = this._l01_2a = this._l12_2a = this._l23_2a = this._point = 0;
    },
    lineEnd: function() {
      switch (this._point) {
        case 1: {
          this._context.moveTo(this._x3, this._y3);
          this._context.closePath();
          break;
        }
        case 2: {
          this._context.lineTo(this._x3, this._y3);
          this._context.closePath();
          break;
        }
        case 3: {
          this.point(this._x3, this._y3);
          this.point(this._x4, this._y4);
          this.point(this._x5, this._y5);
          break;
        }
      }
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      if (this._point) {
        var x23 = this._x2 - x2, y23 = this._y2 - y2;
        this._l23_a = Math.sqrt(this._l23_2a = Math.pow(x23 * x23 + y23 * y23, this._alpha));
      }
      switch (this._point) {
        case 0:
          this._point = 1;
          this._x3 = x2, this._y3 = y2;
          break;
        case 1:
          this._point = 2;
          this._context.moveTo(this._x4 = x2, this._y4 = y2);
          break;
        case 2:
          this._point = 3;
          this._x5 = x2, this._y5 = y2;
          break;
        default:
          point$1(this, x2, y2);
          break;
      }
      this._l01_a = this._l12_a, this._l12_a = this._l23_a;
      this._l01_2a = this._l12_2a, this._l12_2a = this._l23_2a;
      this._x0 = this._x1, this._x1 = this._x2, this._x2 = x2;
      this._y0 = this._y1, this._y1 = this._y2, this._y2 = y2;
    }
  };
  var catmullRomClosed = (function custom6(alpha) {
    function catmullRom2(context) {
      return alpha ? new CatmullRomClosed(context, alpha) : new CardinalClosed(context, 0);
    }
    catmullRom2.alpha = function(alpha2) {
      return custom6(+alpha2);
    };
    return catmullRom2;
  })(0.5);
  function CatmullRomOpen(context, alpha) {
    this._context = context;
    this._alpha = alpha;
  }
  CatmullRomOpen.prototype = {
    areaStart: function() {
      this._line = 0;
    },
    areaEnd: function() {
      this._line = NaN;
    },
    lineStart: function() {
      this._x0 = this._x1 = this._x2 = this._y0 = this._y1 = this._y2 = NaN;
      this._l01_a = this._l12_a = this._l23_a = this._l01_2a = this._l12_2a = this._l23_2a = this._point = 0;
    },
    lineEnd: function() {
      if (this._line || this._line !== 0 && this._point === 3) this._context.closePath();
      this._line = 1 - this._line;
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      if (this._point) {
        var x23 = this._x2 - x2, y23 = this._y2 - y2;
        this._l23_a = Math.sqrt(this._l23_2a = Math.pow(x23 * x23 + y23 * y23, this._alpha));
      }
      switch (this._point) {
        case 0:
          this._point = 1;
          break;
        case 1:
          this._point = 2;
          break;
        case 2:
          this._point = 3;
          this._line ? this._context.lineTo(this._x2, this._y2) : this._context.moveTo(this._x2, this._y2);
          break;
        case 3:
          this._point = 4;
        // falls through
        default:
          point$1(this, x2, y2);
          break;
      }
      this._l01_a = this._l12_a, this._l12_a = this._l23_a;
      this._l01_2a = this._l12_2a, this._l12_2a = this._l23_2a;
      this._x0 = this._x1, this._x1 = this._x2, this._x2 = x2;
      this._y0 = this._y1, this._y1 = this._y2, this._y2 = y2;
    }
  };
  var catmullRomOpen = (function custom7(alpha) {
    function catmullRom2(context) {
      return alpha ? new CatmullRomOpen(context, alpha) : new CardinalOpen(context, 0);
    }
    catmullRom2.alpha = function(alpha2) {
      return custom7(+alpha2);
    };
    return catmullRom2;
  })(0.5);
  function LinearClosed(context) {
    this._context = context;
  }
  LinearClosed.prototype = {
    areaStart: noop2,
    areaEnd: noop2,
    lineStart: function() {
      this._point = 0;
    },
    lineEnd: function() {
      if (this._point) this._context.closePath();
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      if (this._point) this._context.lineTo(x2, y2);
      else this._point = 1, this._context.moveTo(x2, y2);
    }
  };
  function linearClosed(context) {
    return new LinearClosed(context);
  }
  function sign2(x2) {
    return x2 < 0 ? -1 : 1;
  }
  function slope3(that, x2, y2) {
    var h0 = that._x1 - that._x0, h1 = x2 - that._x1, s0 = (that._y1 - that._y0) / (h0 || h1 < 0 && -0), s1 = (y2 - that._y1) / (h1 || h0 < 0 && -0), p = (s0 * h1 + s1 * h0) / (h0 + h1);
    return (sign2(s0) + sign2(s1)) * Math.min(Math.abs(s0), Math.abs(s1), 0.5 * Math.abs(p)) || 0;
  }
  function slope2(that, t) {
    var h2 = that._x1 - that._x0;
    return h2 ? (3 * (that._y1 - that._y0) / h2 - t) / 2 : t;
  }
  function point2(that, t03, t13) {
    var x02 = that._x0, y02 = that._y0, x12 = that._x1, y12 = that._y1, dx = (x12 - x02) / 3;
    that._context.bezierCurveTo(x02 + dx, y02 + dx * t03, x12 - dx, y12 - dx * t13, x12, y12);
  }
  function MonotoneX(context) {
    this._context = context;
  }
  MonotoneX.prototype = {
    areaStart: function() {
      this._line = 0;
    },
    areaEnd: function() {
      this._line = NaN;
    },
    lineStart: function() {
      this._x0 = this._x1 = this._y0 = this._y1 = this._t0 = NaN;
      this._point = 0;
    },
    lineEnd: function() {
      switch (this._point) {
        case 2:
          this._context.lineTo(this._x1, this._y1);
          break;
        case 3:
          point2(this, this._t0, slope2(this, this._t0));
          break;
      }
      if (this._line || this._line !== 0 && this._point === 1) this._context.closePath();
      this._line = 1 - this._line;
    },
    point: function(x2, y2) {
      var t13 = NaN;
      x2 = +x2, y2 = +y2;
      if (x2 === this._x1 && y2 === this._y1) return;
      switch (this._point) {
        case 0:
          this._point = 1;
          this._line ? this._context.lineTo(x2, y2) : this._context.moveTo(x2, y2);
          break;
        case 1:
          this._point = 2;
          break;
        case 2:
          this._point = 3;
          point2(this, slope2(this, t13 = slope3(this, x2, y2)), t13);
          break;
        default:
          point2(this, this._t0, t13 = slope3(this, x2, y2));
          break;
      }
      this._x0 = this._x1, this._x1 = x2;
      this._y0 = this._y1, this._y1 = y2;
      this._t0 = t13;
    }
  };
  function MonotoneY(context) {
    this._context = new ReflectContext(context);
  }
  (MonotoneY.prototype = Object.create(MonotoneX.prototype)).point = function(x2, y2) {
    MonotoneX.prototype.point.call(this, y2, x2);
  };
  function ReflectContext(context) {
    this._context = context;
  }
  ReflectContext.prototype = {
    moveTo: function(x2, y2) {
      this._context.moveTo(y2, x2);
    },
    closePath: function() {
      this._context.closePath();
    },
    lineTo: function(x2, y2) {
      this._context.lineTo(y2, x2);
    },
    bezierCurveTo: function(x12, y12, x2, y2, x3, y3) {
      this._context.bezierCurveTo(y12, x12, y2, x2, y3, x3);
    }
  };
  function monotoneX(context) {
    return new MonotoneX(context);
  }
  function monotoneY(context) {
    return new MonotoneY(context);
  }
  function Natural(context) {
    this._context = context;
  }
  Natural.prototype = {
    areaStart: function() {
      this._line = 0;
    },
    areaEnd: function() {
      this._line = NaN;
    },
    lineStart: function() {
      this._x = [];
      this._y = [];
    },
    lineEnd: function() {
      var x2 = this._x, y2 = this._y, n = x2.length;
      if (n) {
        this._line ? this._context.lineTo(x2[0], y2[0]) : this._context.moveTo(x2[0], y2[0]);
        if (n === 2) {
          this._context.lineTo(x2[1], y2[1]);
        } else {
          var px = controlPoints(x2), py = controlPoints(y2);
          for (var i0 = 0, i1 = 1; i1 < n; ++i0, ++i1) {
            this._context.bezierCurveTo(px[0][i0], py[0][i0], px[1][i0], py[1][i0], x2[i1], y2[i1]);
          }
        }
      }
      if (this._line || this._line !== 0 && n === 1) this._context.closePath();
      this._line = 1 - this._line;
      this._x = this._y = null;
    },
    point: function(x2, y2) {
      this._x.push(+x2);
      this._y.push(+y2);
    }
  };
  function controlPoints(x2) {
    var i, n = x2.length - 1, m, a2 = new Array(n), b = new Array(n), r = new Array(n);
    a2[0] = 0, b[0] = 2, r[0] = x2[0] + 2 * x2[1];
    for (i = 1; i < n - 1; ++i) a2[i] = 1, b[i] = 4, r[i] = 4 * x2[i] + 2 * x2[i + 1];
    a2[n - 1] = 2, b[n - 1] = 7, r[n - 1] = 8 * x2[n - 1] + x2[n];
    for (i = 1; i < n; ++i) m = a2[i] / b[i - 1], b[i] -= m, r[i] -= m * r[i - 1];
    a2[n - 1] = r[n - 1] / b[n - 1];
    for (i = n - 2; i >= 0; --i) a2[i] = (r[i] - a2[i + 1]) / b[i];
    b[n - 1] = (x2[n] + a2[n - 1]) / 2;
    for (i = 0; i < n - 1; ++i) b[i] = 2 * x2[i + 1] - a2[i + 1];
    return [a2, b];
  }
  function natural(context) {
    return new Natural(context);
  }
  function Step(context, t) {
    this._context = context;
    this._t = t;
  }
  Step.prototype = {
    areaStart: function() {
      this._line = 0;
    },
    areaEnd: function() {
      this._line = NaN;
    },
    lineStart: function() {
      this._x = this._y = NaN;
      this._point = 0;
    },
    lineEnd: function() {
      if (0 < this._t && this._t < 1 && this._point === 2) this._context.lineTo(this._x, this._y);
      if (this._line || this._line !== 0 && this._point === 1) this._context.closePath();
      if (this._line >= 0) this._t = 1 - this._t, this._line = 1 - this._line;
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      switch (this._point) {
        case 0:
          this._point = 1;
          this._line ? this._context.lineTo(x2, y2) : this._context.moveTo(x2, y2);
          break;
        case 1:
          this._point = 2;
        // falls through
        default: {
          if (this._t <= 0) {
            this._context.lineTo(this._x, y2);
            this._context.lineTo(x2, y2);
          } else {
            var x12 = this._x * (1 - this._t) + x2 * this._t;
            this._context.lineTo(x12, this._y);
            this._context.lineTo(x12, y2);
          }
          break;
        }
      }
      this._x = x2, this._y = y2;
    }
  };
  function step(context) {
    return new Step(context, 0.5);
  }
  function stepBefore(context) {
    return new Step(context, 0);
  }
  function stepAfter(context) {
    return new Step(context, 1);
  }

  // node_modules/@observablehq/plot/src/defined.js
  function defined(x2) {
    return x2 != null && !Number.isNaN(x2);
  }
  function ascendingDefined2(a2, b) {
    return +defined(b) - +defined(a2) || ascending(a2, b);
  }
  function descendingDefined(a2, b) {
    return +defined(b) - +defined(a2) || descending(a2, b);
  }
  function nonempty(x2) {
    return x2 != null && `${x2}` !== "";
  }
  function finite(x2) {
    return isFinite(x2) ? x2 : NaN;
  }
  function positive(x2) {
    return x2 > 0 && isFinite(x2) ? x2 : NaN;
  }
  function negative(x2) {
    return x2 < 0 && isFinite(x2) ? x2 : NaN;
  }

  // node_modules/isoformat/src/format.js
  function format2(date3, fallback) {
    if (!(date3 instanceof Date)) date3 = /* @__PURE__ */ new Date(+date3);
    if (isNaN(date3)) return typeof fallback === "function" ? fallback(date3) : fallback;
    const hours = date3.getUTCHours();
    const minutes = date3.getUTCMinutes();
    const seconds2 = date3.getUTCSeconds();
    const milliseconds2 = date3.getUTCMilliseconds();
    return `${formatYear2(date3.getUTCFullYear(), 4)}-${pad2(date3.getUTCMonth() + 1, 2)}-${pad2(date3.getUTCDate(), 2)}${hours || minutes || seconds2 || milliseconds2 ? `T${pad2(hours, 2)}:${pad2(minutes, 2)}${seconds2 || milliseconds2 ? `:${pad2(seconds2, 2)}${milliseconds2 ? `.${pad2(milliseconds2, 3)}` : ``}` : ``}Z` : ``}`;
  }
  function formatYear2(year) {
    return year < 0 ? `-${pad2(-year, 6)}` : year > 9999 ? `+${pad2(year, 6)}` : pad2(year, 4);
  }
  function pad2(value2, width) {
    return `${value2}`.padStart(width, "0");
  }

  // node_modules/isoformat/src/parse.js
  var re2 = /^(?:[-+]\d{2})?\d{4}(?:-\d{2}(?:-\d{2})?)?(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{3})?)?(?:Z|[-+]\d{2}:?\d{2})?)?$/;
  function parse2(string3, fallback) {
    if (!re2.test(string3 += "")) return typeof fallback === "function" ? fallback(string3) : fallback;
    return new Date(string3);
  }

  // node_modules/@observablehq/plot/src/order.js
  function orderof(values2) {
    if (values2 == null) return;
    const first2 = values2[0];
    const last = values2[values2.length - 1];
    return descending(first2, last);
  }

  // node_modules/@observablehq/plot/src/time.js
  var durationSecond2 = 1e3;
  var durationMinute2 = durationSecond2 * 60;
  var durationHour2 = durationMinute2 * 60;
  var durationDay2 = durationHour2 * 24;
  var durationWeek2 = durationDay2 * 7;
  var durationMonth2 = durationDay2 * 30;
  var durationYear2 = durationDay2 * 365;
  var tickIntervals = [
    ["millisecond", 1],
    ["2 milliseconds", 2],
    ["5 milliseconds", 5],
    ["10 milliseconds", 10],
    ["20 milliseconds", 20],
    ["50 milliseconds", 50],
    ["100 milliseconds", 100],
    ["200 milliseconds", 200],
    ["500 milliseconds", 500],
    ["second", durationSecond2],
    ["5 seconds", 5 * durationSecond2],
    ["15 seconds", 15 * durationSecond2],
    ["30 seconds", 30 * durationSecond2],
    ["minute", durationMinute2],
    ["5 minutes", 5 * durationMinute2],
    ["15 minutes", 15 * durationMinute2],
    ["30 minutes", 30 * durationMinute2],
    ["hour", durationHour2],
    ["3 hours", 3 * durationHour2],
    ["6 hours", 6 * durationHour2],
    ["12 hours", 12 * durationHour2],
    ["day", durationDay2],
    ["2 days", 2 * durationDay2],
    ["week", durationWeek2],
    ["2 weeks", 2 * durationWeek2],
    // https://github.com/d3/d3-time/issues/46
    ["month", durationMonth2],
    ["3 months", 3 * durationMonth2],
    ["6 months", 6 * durationMonth2],
    // https://github.com/d3/d3-time/issues/46
    ["year", durationYear2],
    ["2 years", 2 * durationYear2],
    ["5 years", 5 * durationYear2],
    ["10 years", 10 * durationYear2],
    ["20 years", 20 * durationYear2],
    ["50 years", 50 * durationYear2],
    ["100 years", 100 * durationYear2]
    // TODO generalize to longer time scales
  ];
  var durations = /* @__PURE__ */ new Map([
    ["second", durationSecond2],
    ["minute", durationMinute2],
    ["hour", durationHour2],
    ["day", durationDay2],
    ["monday", durationWeek2],
    ["tuesday", durationWeek2],
    ["wednesday", durationWeek2],
    ["thursday", durationWeek2],
    ["friday", durationWeek2],
    ["saturday", durationWeek2],
    ["sunday", durationWeek2],
    ["week", durationWeek2],
    ["month", durationMonth2],
    ["year", durationYear2]
  ]);
  var timeIntervals = /* @__PURE__ */ new Map([
    ["second", second],
    ["minute", timeMinute],
    ["hour", timeHour],
    ["day", timeDay],
    // https://github.com/d3/d3-time/issues/62
    ["monday", timeMonday],
    ["tuesday", timeTuesday],
    ["wednesday", timeWednesday],
    ["thursday", timeThursday],
    ["friday", timeFriday],
    ["saturday", timeSaturday],
    ["sunday", timeSunday],
    ["week", timeSunday],
    ["month", timeMonth],
    ["year", timeYear]
  ]);
  var utcIntervals = /* @__PURE__ */ new Map([
    ["second", second],
    ["minute", utcMinute],
    ["hour", utcHour],
    ["day", unixDay],
    ["monday", utcMonday],
    ["tuesday", utcTuesday],
    ["wednesday", utcWednesday],
    ["thursday", utcThursday],
    ["friday", utcFriday],
    ["saturday", utcSaturday],
    ["sunday", utcSunday],
    ["week", utcSunday],
    ["month", utcMonth],
    ["year", utcYear]
  ]);
  var intervalDuration = /* @__PURE__ */ Symbol("intervalDuration");
  var intervalType = /* @__PURE__ */ Symbol("intervalType");
  for (const [name, interval] of timeIntervals) {
    interval[intervalDuration] = durations.get(name);
    interval[intervalType] = "time";
  }
  for (const [name, interval] of utcIntervals) {
    interval[intervalDuration] = durations.get(name);
    interval[intervalType] = "utc";
  }
  var utcFormatIntervals = [
    ["year", utcYear, "utc"],
    ["month", utcMonth, "utc"],
    ["day", unixDay, "utc", 6 * durationMonth2],
    ["hour", utcHour, "utc", 3 * durationDay2],
    ["minute", utcMinute, "utc", 6 * durationHour2],
    ["second", second, "utc", 30 * durationMinute2]
  ];
  var timeFormatIntervals = [
    ["year", timeYear, "time"],
    ["month", timeMonth, "time"],
    ["day", timeDay, "time", 6 * durationMonth2],
    ["hour", timeHour, "time", 3 * durationDay2],
    ["minute", timeMinute, "time", 6 * durationHour2],
    ["second", second, "time", 30 * durationMinute2]
  ];
  var formatIntervals = [
    utcFormatIntervals[0],
    timeFormatIntervals[0],
    utcFormatIntervals[1],
    timeFormatIntervals[1],
    utcFormatIntervals[2],
    timeFormatIntervals[2],
    // Below day, local time typically has an hourly offset from UTC and hence the
    // two are aligned and indistinguishable; therefore, we only consider UTC, and
    // we don’t consider these if the domain only has a single value.
    ...utcFormatIntervals.slice(3)
  ];
  function parseTimeInterval(input) {
    let name = `${input}`.toLowerCase();
    if (name.endsWith("s")) name = name.slice(0, -1);
    let period = 1;
    const match = /^(?:(\d+)\s+)/.exec(name);
    if (match) {
      name = name.slice(match[0].length);
      period = +match[1];
    }
    switch (name) {
      case "quarter":
        name = "month";
        period *= 3;
        break;
      case "half":
        name = "month";
        period *= 6;
        break;
    }
    let interval = utcIntervals.get(name);
    if (!interval) throw new Error(`unknown interval: ${input}`);
    if (period > 1 && !interval.every) throw new Error(`non-periodic interval: ${name}`);
    return [name, period];
  }
  function timeInterval2(input) {
    return asInterval(parseTimeInterval(input), "time");
  }
  function utcInterval(input) {
    return asInterval(parseTimeInterval(input), "utc");
  }
  function asInterval([name, period], type) {
    let interval = (type === "time" ? timeIntervals : utcIntervals).get(name);
    if (period > 1) {
      interval = interval.every(period);
      interval[intervalDuration] = durations.get(name) * period;
      interval[intervalType] = type;
    }
    return interval;
  }
  function generalizeTimeInterval(interval, n) {
    if (!(n > 1)) return;
    const duration = interval[intervalDuration];
    if (!tickIntervals.some(([, d]) => d === duration)) return;
    if (duration % durationDay2 === 0 && durationDay2 < duration && duration < durationMonth2) return;
    const [i] = tickIntervals[bisector(([, step2]) => Math.log(step2)).center(tickIntervals, Math.log(duration * n))];
    return (interval[intervalType] === "time" ? timeInterval2 : utcInterval)(i);
  }
  function formatTimeInterval(name, type, anchor) {
    const format3 = type === "time" ? timeFormat : utcFormat;
    if (anchor == null) {
      return format3(
        name === "year" ? "%Y" : name === "month" ? "%Y-%m" : name === "day" ? "%Y-%m-%d" : name === "hour" || name === "minute" ? "%Y-%m-%dT%H:%M" : name === "second" ? "%Y-%m-%dT%H:%M:%S" : "%Y-%m-%dT%H:%M:%S.%L"
      );
    }
    const template2 = getTimeTemplate(anchor);
    switch (name) {
      case "millisecond":
        return formatConditional(format3(".%L"), format3(":%M:%S"), template2);
      case "second":
        return formatConditional(format3(":%S"), format3("%-I:%M"), template2);
      case "minute":
        return formatConditional(format3("%-I:%M"), format3("%p"), template2);
      case "hour":
        return formatConditional(format3("%-I %p"), format3("%b %-d"), template2);
      case "day":
        return formatConditional(format3("%-d"), format3("%b"), template2);
      case "month":
        return formatConditional(format3("%b"), format3("%Y"), template2);
      case "year":
        return format3("%Y");
    }
    throw new Error("unable to format time ticks");
  }
  function getTimeTemplate(anchor) {
    return anchor === "left" || anchor === "right" ? (f1, f2) => `
${f1}
${f2}` : anchor === "top" ? (f1, f2) => `${f2}
${f1}` : (f1, f2) => `${f1}
${f2}`;
  }
  function getFormatIntervals(type) {
    return type === "time" ? timeFormatIntervals : type === "utc" ? utcFormatIntervals : formatIntervals;
  }
  function inferTimeFormat(type, dates, anchor) {
    const step2 = max(pairs(dates, (a2, b) => Math.abs(b - a2)));
    if (step2 < 1e3) return formatTimeInterval("millisecond", "utc", anchor);
    for (const [name, interval, intervalType2, maxStep] of getFormatIntervals(type)) {
      if (step2 > maxStep) break;
      if (name === "hour" && !step2) break;
      if (dates.every((d) => interval.floor(d) >= d)) return formatTimeInterval(name, intervalType2, anchor);
    }
  }
  function formatConditional(format1, format22, template2) {
    return (x2, i, X3) => {
      const f1 = format1(x2, i);
      const f2 = format22(x2, i);
      const j = i - orderof(X3);
      return i !== j && X3[j] !== void 0 && f2 === format22(X3[j], j) ? f1 : template2(f1, f2);
    };
  }

  // node_modules/@observablehq/plot/src/options.js
  var TypedArray = Object.getPrototypeOf(Uint8Array);
  var objectToString = Object.prototype.toString;
  function isArray(value2) {
    return value2 instanceof Array || value2 instanceof TypedArray;
  }
  function isNumberArray2(value2) {
    return value2 instanceof TypedArray && !isBigIntArray(value2);
  }
  function isNumberType(type) {
    return type?.prototype instanceof TypedArray && !isBigIntType(type);
  }
  function isBigIntArray(value2) {
    return value2 instanceof BigInt64Array || value2 instanceof BigUint64Array;
  }
  function isBigIntType(type) {
    return type === BigInt64Array || type === BigUint64Array;
  }
  var reindex = /* @__PURE__ */ Symbol("reindex");
  function valueof(data, value2, type) {
    const valueType = typeof value2;
    return valueType === "string" ? isArrowTable(data) ? maybeTypedArrowify(data.getChild(value2), type) : maybeTypedMap(data, field(value2), type) : valueType === "function" ? maybeTypedMap(data, value2, type) : valueType === "number" || value2 instanceof Date || valueType === "boolean" ? map2(data, constant4(value2), type) : typeof value2?.transform === "function" ? maybeTypedArrayify(value2.transform(data), type) : maybeTake(maybeTypedArrayify(value2, type), data?.[reindex]);
  }
  function maybeTake(values2, index2) {
    return values2 != null && index2 ? take(values2, index2) : values2;
  }
  function maybeTypedMap(data, f, type) {
    return map2(data, isNumberType(type) ? (d, i) => coerceNumber(f(d, i)) : f, type);
  }
  function maybeTypedArrayify(data, type) {
    return type === void 0 ? arrayify2(data) : isArrowVector(data) ? maybeTypedArrowify(data, type) : data instanceof type ? data : type.from(data, isNumberType(type) && !isNumberArray2(data) ? coerceNumber : void 0);
  }
  function maybeTypedArrowify(vector, type) {
    return vector == null ? vector : (type === void 0 || type === Array) && isArrowDateType(vector.type) ? coerceDates(vectorToArray(vector)) : maybeTypedArrayify(vectorToArray(vector), type);
  }
  function vectorToArray(vector) {
    return vector.nullCount ? vector.toJSON() : vector.toArray();
  }
  var singleton = [null];
  var field = (name) => (d) => {
    const v = d[name];
    return v === void 0 && d.type === "Feature" ? d.properties?.[name] : v;
  };
  var indexOf = { transform: range2 };
  var identity6 = { transform: (d) => d };
  var one2 = () => 1;
  var yes = () => true;
  var string2 = (x2) => x2 == null ? x2 : `${x2}`;
  var number5 = (x2) => x2 == null ? x2 : +x2;
  var first = (x2) => x2 ? x2[0] : void 0;
  var second2 = (x2) => x2 ? x2[1] : void 0;
  var constant4 = (x2) => () => x2;
  function percentile(reduce) {
    const p = +`${reduce}`.slice(1) / 100;
    return (I, f) => quantile(I, p, f);
  }
  function coerceNumbers(values2) {
    return isNumberArray2(values2) ? values2 : map2(values2, coerceNumber, Float64Array);
  }
  function coerceNumber(x2) {
    return x2 == null ? NaN : Number(x2);
  }
  function coerceDates(values2) {
    return map2(values2, coerceDate);
  }
  function coerceDate(x2) {
    return x2 instanceof Date && !isNaN(x2) ? x2 : typeof x2 === "string" ? parse2(x2) : x2 == null || isNaN(x2 = Number(x2)) ? void 0 : new Date(x2);
  }
  function maybeColorChannel(value2, defaultValue) {
    if (value2 === void 0) value2 = defaultValue;
    return value2 === null ? [void 0, "none"] : isColor(value2) ? [void 0, value2] : [value2, void 0];
  }
  function maybeNumberChannel(value2, defaultValue) {
    if (value2 === void 0) value2 = defaultValue;
    return value2 === null || typeof value2 === "number" ? [void 0, value2] : [value2, void 0];
  }
  function maybeKeyword(input, name, allowed) {
    if (input != null) return keyword(input, name, allowed);
  }
  function keyword(input, name, allowed) {
    const i = `${input}`.toLowerCase();
    if (!allowed.includes(i)) throw new Error(`invalid ${name}: ${input}`);
    return i;
  }
  function dataify(data) {
    return isArrowTable(data) ? data : arrayify2(data);
  }
  function arrayify2(values2) {
    if (values2 == null || isArray(values2)) return values2;
    if (isArrowVector(values2)) return maybeTypedArrowify(values2);
    if (isGeoJSON(values2)) {
      switch (values2.type) {
        case "FeatureCollection":
          return values2.features;
        case "GeometryCollection":
          return values2.geometries;
        default:
          return [values2];
      }
    }
    return Array.from(values2);
  }
  function isGeoJSON(x2) {
    switch (x2?.type) {
      case "FeatureCollection":
      case "GeometryCollection":
      case "Feature":
      case "LineString":
      case "MultiLineString":
      case "MultiPoint":
      case "MultiPolygon":
      case "Point":
      case "Polygon":
      case "Sphere":
        return true;
      default:
        return false;
    }
  }
  function map2(values2, f, type = Array) {
    return values2 == null ? values2 : values2 instanceof type ? values2.map(f) : type.from(values2, f);
  }
  function slice3(values2, type = Array) {
    return values2 instanceof type ? values2.slice() : type.from(values2);
  }
  function hasX({ x: x2, x1: x12, x2: x22 }) {
    return x2 !== void 0 || x12 !== void 0 || x22 !== void 0;
  }
  function hasY({ y: y2, y1: y12, y2: y22 }) {
    return y2 !== void 0 || y12 !== void 0 || y22 !== void 0;
  }
  function hasXY(options) {
    return hasX(options) || hasY(options) || options.interval !== void 0;
  }
  function isObject(option) {
    return option?.toString === objectToString;
  }
  function isScaleOptions(option) {
    return isObject(option) && (option.type !== void 0 || option.domain !== void 0);
  }
  function isOptions(option) {
    return isObject(option) && typeof option.transform !== "function";
  }
  function isDomainSort(sort3) {
    return isOptions(sort3) && sort3.value === void 0 && sort3.channel === void 0;
  }
  function maybeZero(x2, x12, x22, x3 = identity6) {
    if (x12 === void 0 && x22 === void 0) {
      x12 = 0, x22 = x2 === void 0 ? x3 : x2;
    } else if (x12 === void 0) {
      x12 = x2 === void 0 ? 0 : x2;
    } else if (x22 === void 0) {
      x22 = x2 === void 0 ? 0 : x2;
    }
    return [x12, x22];
  }
  function maybeTuple(x2, y2) {
    return x2 === void 0 && y2 === void 0 ? [first, second2] : [x2, y2];
  }
  function maybeZ({ z: z2, fill, stroke } = {}) {
    if (z2 === void 0) [z2] = maybeColorChannel(fill);
    if (z2 === void 0) [z2] = maybeColorChannel(stroke);
    return z2;
  }
  function lengthof(data) {
    return isArray(data) ? data.length : data?.numRows;
  }
  function range2(data) {
    const n = lengthof(data);
    const r = new Uint32Array(n);
    for (let i = 0; i < n; ++i) r[i] = i;
    return r;
  }
  function take(values2, index2) {
    return isArray(values2) ? map2(index2, (i) => values2[i], values2.constructor) : map2(index2, (i) => values2.at(i));
  }
  function subarray(I, i, j) {
    return I.subarray ? I.subarray(i, j) : I.slice(i, j);
  }
  function keyof2(value2) {
    return value2 !== null && typeof value2 === "object" ? value2.valueOf() : value2;
  }
  function maybeInput(key, options) {
    if (options[key] !== void 0) return options[key];
    switch (key) {
      case "x1":
      case "x2":
        key = "x";
        break;
      case "y1":
      case "y2":
        key = "y";
        break;
    }
    return options[key];
  }
  function column(source) {
    let value2;
    return [
      {
        transform: () => value2,
        label: labelof(source)
      },
      (v) => value2 = v
    ];
  }
  function maybeColumn(source) {
    return source == null ? [source] : column(source);
  }
  function labelof(value2, defaultValue) {
    return typeof value2 === "string" ? value2 : value2 && value2.label !== void 0 ? value2.label : defaultValue;
  }
  function mid(x12, x2) {
    return {
      transform(data) {
        const X12 = x12.transform(data);
        const X22 = x2.transform(data);
        return isTemporal(X12) || isTemporal(X22) ? map2(X12, (_, i) => new Date((+X12[i] + +X22[i]) / 2)) : map2(X12, (_, i) => (+X12[i] + +X22[i]) / 2, Float64Array);
      },
      label: x12.label
    };
  }
  function maybeApplyInterval(V2, scale) {
    const t = maybeIntervalTransform(scale?.interval, scale?.type);
    return t ? map2(V2, t) : V2;
  }
  function maybeIntervalTransform(interval, type) {
    const i = maybeInterval(interval, type);
    return i && ((v) => defined(v) ? i.floor(v) : v);
  }
  function maybeInterval(interval, type) {
    if (interval == null) return;
    if (typeof interval === "number") return numberInterval(interval);
    if (typeof interval === "string") return (type === "time" ? timeInterval2 : utcInterval)(interval);
    if (typeof interval.floor !== "function") throw new Error("invalid interval; missing floor method");
    if (typeof interval.offset !== "function") throw new Error("invalid interval; missing offset method");
    return interval;
  }
  function numberInterval(interval) {
    interval = +interval;
    if (0 < interval && interval < 1 && Number.isInteger(1 / interval)) interval = -1 / interval;
    const n = Math.abs(interval);
    return interval < 0 ? {
      floor: (d) => Math.floor(d * n) / n,
      offset: (d, s3 = 1) => (d * n + Math.floor(s3)) / n,
      range: (lo, hi) => range(Math.ceil(lo * n), hi * n).map((x2) => x2 / n)
    } : {
      floor: (d) => Math.floor(d / n) * n,
      offset: (d, s3 = 1) => d + n * Math.floor(s3),
      range: (lo, hi) => range(Math.ceil(lo / n), hi / n).map((x2) => x2 * n)
    };
  }
  function maybeRangeInterval(interval, type) {
    interval = maybeInterval(interval, type);
    if (interval && typeof interval.range !== "function") throw new Error("invalid interval: missing range method");
    return interval;
  }
  function maybeNiceInterval(interval, type) {
    interval = maybeRangeInterval(interval, type);
    if (interval && typeof interval.ceil !== "function") throw new Error("invalid interval: missing ceil method");
    return interval;
  }
  function isTimeInterval(t) {
    return isInterval(t) && typeof t?.floor === "function" && t.floor() instanceof Date;
  }
  function isInterval(t) {
    return typeof t?.range === "function";
  }
  function maybeValue(value2) {
    return value2 === void 0 || isOptions(value2) ? value2 : { value: value2 };
  }
  function numberChannel(source) {
    return source == null ? null : {
      transform: (data) => valueof(data, source, Float64Array),
      label: labelof(source)
    };
  }
  function isIterable(value2) {
    return value2 && typeof value2[Symbol.iterator] === "function";
  }
  function isTextual(values2) {
    for (const value2 of values2) {
      if (value2 == null) continue;
      return typeof value2 !== "object" || value2 instanceof Date;
    }
  }
  function isOrdinal(values2) {
    for (const value2 of values2) {
      if (value2 == null) continue;
      const type = typeof value2;
      return type === "string" || type === "boolean";
    }
  }
  function isTemporal(values2) {
    for (const value2 of values2) {
      if (value2 == null) continue;
      return value2 instanceof Date;
    }
  }
  function isTemporalString(values2) {
    for (const value2 of values2) {
      if (value2 == null) continue;
      return typeof value2 === "string" && isNaN(value2) && parse2(value2);
    }
  }
  function isNumericString(values2) {
    for (const value2 of values2) {
      if (value2 == null) continue;
      if (typeof value2 !== "string") return false;
      if (!value2.trim()) continue;
      return !isNaN(value2);
    }
  }
  function isNumeric(values2) {
    for (const value2 of values2) {
      if (value2 == null) continue;
      return typeof value2 === "number";
    }
  }
  function isEvery(values2, is) {
    let every;
    for (const value2 of values2) {
      if (value2 == null) continue;
      if (!is(value2)) return false;
      every = true;
    }
    return every;
  }
  var namedColors = new Set("none,currentcolor,transparent,aliceblue,antiquewhite,aqua,aquamarine,azure,beige,bisque,black,blanchedalmond,blue,blueviolet,brown,burlywood,cadetblue,chartreuse,chocolate,coral,cornflowerblue,cornsilk,crimson,cyan,darkblue,darkcyan,darkgoldenrod,darkgray,darkgreen,darkgrey,darkkhaki,darkmagenta,darkolivegreen,darkorange,darkorchid,darkred,darksalmon,darkseagreen,darkslateblue,darkslategray,darkslategrey,darkturquoise,darkviolet,deeppink,deepskyblue,dimgray,dimgrey,dodgerblue,firebrick,floralwhite,forestgreen,fuchsia,gainsboro,ghostwhite,gold,goldenrod,gray,green,greenyellow,grey,honeydew,hotpink,indianred,indigo,ivory,khaki,lavender,lavenderblush,lawngreen,lemonchiffon,lightblue,lightcoral,lightcyan,lightgoldenrodyellow,lightgray,lightgreen,lightgrey,lightpink,lightsalmon,lightseagreen,lightskyblue,lightslategray,lightslategrey,lightsteelblue,lightyellow,lime,limegreen,linen,magenta,maroon,mediumaquamarine,mediumblue,mediumorchid,mediumpurple,mediumseagreen,mediumslateblue,mediumspringgreen,mediumturquoise,mediumvioletred,midnightblue,mintcream,mistyrose,moccasin,navajowhite,navy,oldlace,olive,olivedrab,orange,orangered,orchid,palegoldenrod,palegreen,paleturquoise,palevioletred,papayawhip,peachpuff,peru,pink,plum,powderblue,purple,rebeccapurple,red,rosybrown,royalblue,saddlebrown,salmon,sandybrown,seagreen,seashell,sienna,silver,skyblue,slateblue,slategray,slategrey,snow,springgreen,steelblue,tan,teal,thistle,tomato,turquoise,violet,wheat,white,whitesmoke,yellow".split(","));
  function isColor(value2) {
    if (typeof value2 !== "string") return false;
    value2 = value2.toLowerCase().trim();
    return /^#[0-9a-f]{3,8}$/.test(value2) || // hex rgb, rgba, rrggbb, rrggbbaa
    /^(?:url|var|rgb|rgba|hsl|hsla|hwb|lab|lch|oklab|oklch|color|color-mix)\(.*\)$/.test(value2) || // <funciri>, CSS variable, color, etc.
    namedColors.has(value2);
  }
  function isOpacity(value2) {
    return typeof value2 === "number" && (0 <= value2 && value2 <= 1 || isNaN(value2));
  }
  function isNoneish(value2) {
    return value2 == null || isNone(value2);
  }
  function isNone(value2) {
    return /^\s*none\s*$/i.test(value2);
  }
  function isRound(value2) {
    return /^\s*round\s*$/i.test(value2);
  }
  function maybeAnchor(value2, name) {
    return maybeKeyword(value2, name, [
      "middle",
      "top-left",
      "top",
      "top-right",
      "right",
      "bottom-right",
      "bottom",
      "bottom-left",
      "left"
    ]);
  }
  function maybeFrameAnchor(value2 = "middle") {
    return maybeAnchor(value2, "frameAnchor");
  }
  function inherit(options = {}, ...rest) {
    let o = options;
    for (const defaults10 of rest) {
      for (const key in defaults10) {
        if (o[key] === void 0) {
          const value2 = defaults10[key];
          if (o === options) o = { ...o, [key]: value2 };
          else o[key] = value2;
        }
      }
    }
    return o;
  }
  function named2(things) {
    console.warn("named iterables are deprecated; please use an object instead");
    const names = /* @__PURE__ */ new Set();
    return Object.fromEntries(
      Array.from(things, (thing) => {
        const { name } = thing;
        if (name == null) throw new Error("missing name");
        const key = `${name}`;
        if (key === "__proto__") throw new Error(`illegal name: ${key}`);
        if (names.has(key)) throw new Error(`duplicate name: ${key}`);
        names.add(key);
        return [name, thing];
      })
    );
  }
  function maybeNamed(things) {
    return isIterable(things) ? named2(things) : things;
  }
  function maybeClip(clip2) {
    if (clip2 === true) clip2 = "frame";
    else if (clip2 === false) clip2 = null;
    else if (!isGeoJSON(clip2) && clip2 != null) {
      clip2 = keyword(clip2, "clip", ["frame", "sphere"]);
      if (clip2 === "sphere") clip2 = { type: "Sphere" };
    }
    return clip2;
  }
  function isArrowTable(value2) {
    return value2 && typeof value2.getChild === "function" && typeof value2.toArray === "function" && value2.schema && Array.isArray(value2.schema.fields);
  }
  function isArrowVector(value2) {
    return value2 && typeof value2.toArray === "function" && value2.type;
  }
  function isArrowDateType(type) {
    return type && (type.typeId === 8 || // date
    type.typeId === 10) && // timestamp
    type.unit === 1;
  }

  // node_modules/@observablehq/plot/src/scales/index.js
  var position = /* @__PURE__ */ Symbol("position");
  var color2 = /* @__PURE__ */ Symbol("color");
  var radius = /* @__PURE__ */ Symbol("radius");
  var length = /* @__PURE__ */ Symbol("length");
  var opacity = /* @__PURE__ */ Symbol("opacity");
  var symbol = /* @__PURE__ */ Symbol("symbol");
  var projection2 = /* @__PURE__ */ Symbol("projection");
  var registry = /* @__PURE__ */ new Map([
    ["x", position],
    ["y", position],
    ["fx", position],
    ["fy", position],
    ["r", radius],
    ["color", color2],
    ["opacity", opacity],
    ["symbol", symbol],
    ["length", length],
    ["projection", projection2]
  ]);
  function isPosition(kind) {
    return kind === position || kind === projection2;
  }
  function hasNumericRange(kind) {
    return kind === position || kind === radius || kind === length || kind === opacity;
  }

  // node_modules/@observablehq/plot/src/symbol.js
  var sqrt32 = Math.sqrt(3);
  var sqrt4_3 = 2 / sqrt32;
  var symbolHexagon = {
    draw(context, size) {
      const rx = Math.sqrt(size / Math.PI), ry = rx * sqrt4_3, hy = ry / 2;
      context.moveTo(0, ry);
      context.lineTo(rx, hy);
      context.lineTo(rx, -hy);
      context.lineTo(0, -ry);
      context.lineTo(-rx, -hy);
      context.lineTo(-rx, hy);
      context.closePath();
    }
  };
  var symbols = /* @__PURE__ */ new Map([
    ["asterisk", asterisk],
    ["circle", circle],
    ["cross", cross2],
    ["diamond", diamond],
    ["diamond2", diamond2],
    ["hexagon", symbolHexagon],
    ["plus", plus],
    ["square", square],
    ["square2", square2],
    ["star", star],
    ["times", times],
    ["triangle", triangle],
    ["triangle2", triangle2],
    ["wye", wye]
  ]);
  function isSymbolObject(value2) {
    return value2 && typeof value2.draw === "function";
  }
  function isSymbol(value2) {
    if (isSymbolObject(value2)) return true;
    if (typeof value2 !== "string") return false;
    return symbols.has(value2.toLowerCase());
  }
  function maybeSymbol(symbol2) {
    if (symbol2 == null || isSymbolObject(symbol2)) return symbol2;
    const value2 = symbols.get(`${symbol2}`.toLowerCase());
    if (value2) return value2;
    throw new Error(`invalid symbol: ${symbol2}`);
  }
  function maybeSymbolChannel(symbol2) {
    if (symbol2 == null || isSymbolObject(symbol2)) return [void 0, symbol2];
    if (typeof symbol2 === "string") {
      const value2 = symbols.get(`${symbol2}`.toLowerCase());
      if (value2) return [void 0, value2];
    }
    return [symbol2, void 0];
  }

  // node_modules/@observablehq/plot/src/transforms/basic.js
  function basic({ filter: f1, sort: s1, reverse: r1, transform: t13, initializer: i1, ...options } = {}, transform2) {
    if (t13 === void 0) {
      if (f1 != null) t13 = filterTransform(f1);
      if (s1 != null && !isDomainSort(s1)) t13 = composeTransform(t13, sortTransform(s1));
      if (r1) t13 = composeTransform(t13, reverseTransform);
    }
    if (transform2 != null && i1 != null) throw new Error("transforms cannot be applied after initializers");
    return {
      ...options,
      ...(s1 === null || isDomainSort(s1)) && { sort: s1 },
      transform: composeTransform(t13, transform2)
    };
  }
  function initializer({ filter: f1, sort: s1, reverse: r1, initializer: i1, ...options } = {}, initializer2) {
    if (i1 === void 0) {
      if (f1 != null) i1 = filterTransform(f1);
      if (s1 != null && !isDomainSort(s1)) i1 = composeInitializer(i1, sortTransform(s1));
      if (r1) i1 = composeInitializer(i1, reverseTransform);
    }
    return {
      ...options,
      ...(s1 === null || isDomainSort(s1)) && { sort: s1 },
      initializer: composeInitializer(i1, initializer2)
    };
  }
  function composeTransform(t13, t22) {
    if (t13 == null) return t22 === null ? void 0 : t22;
    if (t22 == null) return t13 === null ? void 0 : t13;
    return function(data, facets, plotOptions) {
      ({ data, facets } = t13.call(this, data, facets, plotOptions));
      return t22.call(this, dataify(data), facets, plotOptions);
    };
  }
  function composeInitializer(i1, i2) {
    if (i1 == null) return i2 === null ? void 0 : i2;
    if (i2 == null) return i1 === null ? void 0 : i1;
    return function(data, facets, channels, ...args) {
      let c1, d1, f1, c22, d2, f2;
      ({ data: d1 = data, facets: f1 = facets, channels: c1 } = i1.call(this, data, facets, channels, ...args));
      ({ data: d2 = d1, facets: f2 = f1, channels: c22 } = i2.call(this, d1, f1, { ...channels, ...c1 }, ...args));
      return { data: d2, facets: f2, channels: { ...c1, ...c22 } };
    };
  }
  function apply(options, t) {
    return (options.initializer != null ? initializer : basic)(options, t);
  }
  function filterTransform(value2) {
    return (data, facets) => {
      const V2 = valueof(data, value2);
      return { data, facets: facets.map((I) => I.filter((i) => V2[i])) };
    };
  }
  function reverseTransform(data, facets) {
    return { data, facets: facets.map((I) => I.slice().reverse()) };
  }
  function sort2(order, { sort: sort3, ...options } = {}) {
    return {
      ...(isOptions(order) && order.channel !== void 0 ? initializer : apply)(options, sortTransform(order)),
      sort: isDomainSort(sort3) ? sort3 : null
    };
  }
  function sortTransform(value2) {
    return (typeof value2 === "function" && value2.length !== 1 ? sortData : sortValue)(value2);
  }
  function sortData(compare2) {
    return (data, facets) => {
      const compareData = isArray(data) ? (i, j) => compare2(data[i], data[j]) : (i, j) => compare2(data.get(i), data.get(j));
      return { data, facets: facets.map((I) => I.slice().sort(compareData)) };
    };
  }
  function sortValue(value2) {
    let channel, order;
    ({ channel, value: value2, order } = { ...maybeValue(value2) });
    const negate = channel?.startsWith("-");
    if (negate) channel = channel.slice(1);
    if (order === void 0) order = negate ? descendingDefined : ascendingDefined2;
    if (typeof order !== "function") {
      switch (`${order}`.toLowerCase()) {
        case "ascending":
          order = ascendingDefined2;
          break;
        case "descending":
          order = descendingDefined;
          break;
        default:
          throw new Error(`invalid order: ${order}`);
      }
    }
    return (data, facets, channels) => {
      let V2;
      if (channel === void 0) {
        V2 = valueof(data, value2);
      } else {
        if (channels === void 0) throw new Error("channel sort requires an initializer");
        V2 = channels[channel];
        if (!V2) return {};
        V2 = V2.value;
      }
      const compareValue = (i, j) => order(V2[i], V2[j]);
      return { data, facets: facets.map((I) => I.slice().sort(compareValue)) };
    };
  }

  // node_modules/@observablehq/plot/src/transforms/group.js
  function hasOutput(outputs, ...names) {
    for (const { name } of outputs) {
      if (names.includes(name)) {
        return true;
      }
    }
    return false;
  }
  function maybeOutputs(outputs, inputs, asOutput = maybeOutput) {
    const entries = Object.entries(outputs);
    if (inputs.title != null && outputs.title === void 0) entries.push(["title", reduceTitle]);
    if (inputs.href != null && outputs.href === void 0) entries.push(["href", reduceFirst]);
    return entries.filter(([, reduce]) => reduce !== void 0).map(([name, reduce]) => reduce === null ? nullOutput(name) : asOutput(name, reduce, inputs));
  }
  function maybeOutput(name, reduce, inputs, asEvaluator = maybeEvaluator) {
    let scale;
    if (isObject(reduce) && "reduce" in reduce) scale = reduce.scale, reduce = reduce.reduce;
    const evaluator = asEvaluator(name, reduce, inputs);
    const [output, setOutput] = column(evaluator.label);
    let O;
    return {
      name,
      output: scale === void 0 ? output : { value: output, scale },
      initialize(data) {
        evaluator.initialize(data);
        O = setOutput([]);
      },
      scope(scope, I) {
        evaluator.scope(scope, I);
      },
      reduce(I, extent3) {
        O.push(evaluator.reduce(I, extent3));
      }
    };
  }
  function nullOutput(name) {
    return { name, initialize() {
    }, scope() {
    }, reduce() {
    } };
  }
  function maybeEvaluator(name, reduce, inputs, asReduce = maybeReduce) {
    const input = maybeInput(name, inputs);
    const reducer2 = asReduce(reduce, input);
    let V2, context;
    return {
      label: labelof(reducer2 === reduceCount ? null : input, reducer2.label),
      initialize(data) {
        V2 = input === void 0 ? data : valueof(data, input);
        if (reducer2.scope === "data") {
          context = reducer2.reduceIndex(range2(data), V2);
        }
      },
      scope(scope, I) {
        if (reducer2.scope === scope) {
          context = reducer2.reduceIndex(I, V2);
        }
      },
      reduce(I, extent3) {
        return reducer2.scope == null ? reducer2.reduceIndex(I, V2, extent3) : reducer2.reduceIndex(I, V2, context, extent3);
      }
    };
  }
  function maybeGroup(I, X3) {
    return X3 ? group(I, (i) => X3[i]) : [[, I]];
  }
  function maybeReduce(reduce, value2, fallback = invalidReduce) {
    if (reduce == null) return fallback(reduce);
    if (typeof reduce.reduceIndex === "function") return reduce;
    if (typeof reduce.reduce === "function" && isObject(reduce)) return reduceReduce(reduce);
    if (typeof reduce === "function") return reduceFunction(reduce);
    if (/^p\d{2}$/i.test(reduce)) return reduceAccessor(percentile(reduce));
    switch (`${reduce}`.toLowerCase()) {
      case "first":
        return reduceFirst;
      case "last":
        return reduceLast;
      case "identity":
        return reduceIdentity;
      case "count":
        return reduceCount;
      case "distinct":
        return reduceDistinct;
      case "sum":
        return value2 == null ? reduceCount : reduceSum;
      case "proportion":
        return reduceProportion(value2, "data");
      case "proportion-facet":
        return reduceProportion(value2, "facet");
      case "deviation":
        return reduceAccessor(deviation);
      case "min":
        return reduceAccessor(min);
      case "min-index":
        return reduceAccessor(minIndex);
      case "max":
        return reduceAccessor(max);
      case "max-index":
        return reduceAccessor(maxIndex);
      case "mean":
        return reduceMaybeTemporalAccessor(mean);
      case "median":
        return reduceMaybeTemporalAccessor(median);
      case "variance":
        return reduceAccessor(variance);
      case "mode":
        return reduceAccessor(mode);
    }
    return fallback(reduce);
  }
  function invalidReduce(reduce) {
    throw new Error(`invalid reduce: ${reduce}`);
  }
  function maybeSubgroup(outputs, inputs) {
    for (const name in inputs) {
      const value2 = inputs[name];
      if (value2 !== void 0 && !outputs.some((o) => o.name === name)) {
        return value2;
      }
    }
  }
  function maybeSort(facets, sort3, reverse2) {
    if (sort3) {
      const S2 = sort3.output.transform();
      const compare2 = (i, j) => ascendingDefined2(S2[i], S2[j]);
      facets.forEach((f) => f.sort(compare2));
    }
    if (reverse2) {
      facets.forEach((f) => f.reverse());
    }
  }
  function reduceReduce(reduce) {
    console.warn("deprecated reduce interface; implement reduceIndex instead.");
    return { ...reduce, reduceIndex: reduce.reduce.bind(reduce) };
  }
  function reduceFunction(f) {
    return {
      reduceIndex(I, X3, extent3) {
        return f(take(X3, I), extent3);
      }
    };
  }
  function reduceAccessor(f) {
    return {
      reduceIndex(I, X3) {
        return f(I, (i) => X3[i]);
      }
    };
  }
  function reduceMaybeTemporalAccessor(f) {
    return {
      reduceIndex(I, X3) {
        const x2 = f(I, (i) => X3[i]);
        return isTemporal(X3) ? new Date(x2) : x2;
      }
    };
  }
  var reduceIdentity = {
    reduceIndex(I, X3) {
      return take(X3, I);
    }
  };
  var reduceFirst = {
    reduceIndex(I, X3) {
      return X3[I[0]];
    }
  };
  var reduceTitle = {
    reduceIndex(I, X3) {
      const n = 5;
      const groups = sort(
        rollup(
          I,
          (V2) => V2.length,
          (i) => X3[i]
        ),
        second2
      );
      const top2 = groups.slice(-n).reverse();
      if (top2.length < groups.length) {
        const bottom2 = groups.slice(0, 1 - n);
        top2[n - 1] = [`… ${bottom2.length.toLocaleString("en-US")} more`, sum(bottom2, second2)];
      }
      return top2.map(([key, value2]) => `${key} (${value2.toLocaleString("en-US")})`).join("\n");
    }
  };
  var reduceLast = {
    reduceIndex(I, X3) {
      return X3[I[I.length - 1]];
    }
  };
  var reduceCount = {
    label: "Frequency",
    reduceIndex(I) {
      return I.length;
    }
  };
  var reduceDistinct = {
    label: "Distinct",
    reduceIndex(I, X3) {
      const s3 = new InternSet();
      for (const i of I) s3.add(X3[i]);
      return s3.size;
    }
  };
  var reduceSum = reduceAccessor(sum);
  function reduceProportion(value2, scope) {
    return value2 == null ? { scope, label: "Frequency", reduceIndex: (I, V2, basis3 = 1) => I.length / basis3 } : { scope, reduceIndex: (I, V2, basis3 = 1) => sum(I, (i) => V2[i]) / basis3 };
  }
  var reduceZ = {
    reduceIndex(I, X3, { z: z2 }) {
      return z2;
    }
  };

  // node_modules/@observablehq/plot/src/channel.js
  function createChannel(data, { scale, type, value: value2, filter: filter2, hint, label = labelof(value2) }, name) {
    if (hint === void 0 && typeof value2?.transform === "function") hint = value2.hint;
    return inferChannelScale(name, {
      scale,
      type,
      value: valueof(data, value2),
      label,
      filter: filter2,
      hint
    });
  }
  function createChannels(channels, data) {
    return Object.fromEntries(
      Object.entries(channels).map(([name, channel]) => [name, createChannel(data, channel, name)])
    );
  }
  function valueObject(channels, scales) {
    const values2 = Object.fromEntries(
      Object.entries(channels).map(([name, { scale: scaleName, value: value2 }]) => {
        const scale = scaleName == null ? null : scales[scaleName];
        return [name, scale == null ? value2 : map2(value2, scale)];
      })
    );
    values2.channels = channels;
    return values2;
  }
  function inferChannelScale(name, channel) {
    const { scale, value: value2 } = channel;
    if (scale === true || scale === "auto") {
      switch (name) {
        case "fill":
        case "stroke":
        case "color":
          channel.scale = scale !== true && isEvery(value2, isColor) ? null : "color";
          channel.defaultScale = "color";
          break;
        case "fillOpacity":
        case "strokeOpacity":
        case "opacity":
          channel.scale = scale !== true && isEvery(value2, isOpacity) ? null : "opacity";
          channel.defaultScale = "opacity";
          break;
        case "symbol":
          if (scale !== true && isEvery(value2, isSymbol)) {
            channel.scale = null;
            channel.value = map2(value2, maybeSymbol);
          } else {
            channel.scale = "symbol";
          }
          channel.defaultScale = "symbol";
          break;
        default:
          channel.scale = registry.has(name) ? name : null;
          break;
      }
    } else if (scale === false) {
      channel.scale = null;
    } else if (scale != null && !registry.has(scale)) {
      throw new Error(`unknown scale: ${scale}`);
    }
    return channel;
  }
  function channelDomain(data, facets, channels, facetChannels, options) {
    const { order: defaultOrder, reverse: defaultReverse, reduce: defaultReduce = true, limit: defaultLimit } = options;
    for (const x2 in options) {
      if (!registry.has(x2)) continue;
      let { value: y2, order = defaultOrder, reverse: reverse2 = defaultReverse, reduce = defaultReduce, limit = defaultLimit } = maybeValue(options[x2]);
      const negate = y2?.startsWith("-");
      if (negate) y2 = y2.slice(1);
      order = order === void 0 ? negate !== (y2 === "width" || y2 === "height") ? descendingGroup : ascendingGroup : maybeOrder(order);
      if (reduce == null || reduce === false) continue;
      const X3 = x2 === "fx" || x2 === "fy" ? reindexFacetChannel(facets, facetChannels[x2]) : findScaleChannel(channels, x2);
      if (!X3) throw new Error(`missing channel for scale: ${x2}`);
      const XV = X3.value;
      const [lo = 0, hi = Infinity] = isIterable(limit) ? limit : limit < 0 ? [limit] : [0, limit];
      if (y2 == null) {
        X3.domain = () => {
          let domain = Array.from(new InternSet(XV));
          if (reverse2) domain = domain.reverse();
          if (lo !== 0 || hi !== Infinity) domain = domain.slice(lo, hi);
          return domain;
        };
      } else {
        const YV = y2 === "data" ? data : y2 === "height" ? difference(channels, "y1", "y2") : y2 === "width" ? difference(channels, "x1", "x2") : values(channels, y2, y2 === "y" ? "y2" : y2 === "x" ? "x2" : void 0);
        const reducer2 = maybeReduce(reduce === true ? "max" : reduce, YV);
        X3.domain = () => {
          let domain = rollups(
            range2(XV),
            (I) => reducer2.reduceIndex(I, YV),
            (i) => XV[i]
          );
          if (order) domain.sort(order);
          if (reverse2) domain.reverse();
          if (lo !== 0 || hi !== Infinity) domain = domain.slice(lo, hi);
          return domain.map(first);
        };
      }
    }
  }
  function findScaleChannel(channels, scale) {
    for (const name in channels) {
      const channel = channels[name];
      if (channel.scale === scale) return channel;
    }
  }
  function reindexFacetChannel(facets, channel) {
    const originalFacets = facets.original;
    if (originalFacets === facets) return channel;
    const V1 = channel.value;
    const V2 = channel.value = [];
    for (let i = 0; i < originalFacets.length; ++i) {
      const vi = V1[originalFacets[i][0]];
      for (const j of facets[i]) V2[j] = vi;
    }
    return channel;
  }
  function difference(channels, k1, k2) {
    const X12 = values(channels, k1);
    const X22 = values(channels, k2);
    return map2(X22, (x2, i) => Math.abs(x2 - X12[i]), Float64Array);
  }
  function values(channels, name, alias) {
    let channel = channels[name];
    if (!channel && alias !== void 0) channel = channels[alias];
    if (channel) return channel.value;
    throw new Error(`missing channel: ${name}`);
  }
  function maybeOrder(order) {
    if (order == null || typeof order === "function") return order;
    switch (`${order}`.toLowerCase()) {
      case "ascending":
        return ascendingGroup;
      case "descending":
        return descendingGroup;
    }
    throw new Error(`invalid order: ${order}`);
  }
  function ascendingGroup([ak, av], [bk, bv]) {
    return ascendingDefined2(av, bv) || ascendingDefined2(ak, bk);
  }
  function descendingGroup([ak, av], [bk, bv]) {
    return descendingDefined(av, bv) || ascendingDefined2(ak, bk);
  }
  function getSource(channels, key) {
    let channel = channels[key];
    if (!channel) return;
    while (channel.source) channel = channel.source;
    return channel.source === null ? null : channel;
  }

  // node_modules/@observablehq/plot/src/scales/schemes.js
  var categoricalSchemes = /* @__PURE__ */ new Map([
    ["accent", Accent],
    ["category10", category10],
    ["dark2", Dark2],
    ["observable10", observable10],
    ["paired", Paired],
    ["pastel1", Pastel1],
    ["pastel2", Pastel2],
    ["set1", Set1],
    ["set2", Set2],
    ["set3", Set3],
    ["tableau10", Tableau10]
  ]);
  function isCategoricalScheme(scheme2) {
    return scheme2 != null && categoricalSchemes.has(`${scheme2}`.toLowerCase());
  }
  var ordinalSchemes = new Map([
    ...categoricalSchemes,
    // diverging
    ["brbg", scheme11(scheme$q, BrBG)],
    ["prgn", scheme11(scheme$p, PRGn)],
    ["piyg", scheme11(scheme$o, PiYG)],
    ["puor", scheme11(scheme$n, PuOr)],
    ["rdbu", scheme11(scheme$m, RdBu)],
    ["rdgy", scheme11(scheme$l, RdGy)],
    ["rdylbu", scheme11(scheme$k, RdYlBu)],
    ["rdylgn", scheme11(scheme$j, RdYlGn)],
    ["spectral", scheme11(scheme$i, Spectral)],
    // reversed diverging (for temperature data)
    ["burd", scheme11r(scheme$m, RdBu)],
    ["buylrd", scheme11r(scheme$k, RdYlBu)],
    // sequential (single-hue)
    ["blues", scheme9(scheme$5, Blues)],
    ["greens", scheme9(scheme$4, Greens)],
    ["greys", scheme9(scheme$3, Greys)],
    ["oranges", scheme9(scheme, Oranges)],
    ["purples", scheme9(scheme$2, Purples)],
    ["reds", scheme9(scheme$1, Reds)],
    // sequential (multi-hue)
    ["turbo", schemei(turbo)],
    ["viridis", schemei(viridis)],
    ["magma", schemei(magma)],
    ["inferno", schemei(inferno)],
    ["plasma", schemei(plasma)],
    ["cividis", schemei(cividis)],
    ["cubehelix", schemei(cubehelix3)],
    ["warm", schemei(warm)],
    ["cool", schemei(cool)],
    ["bugn", scheme9(scheme$h, BuGn)],
    ["bupu", scheme9(scheme$g, BuPu)],
    ["gnbu", scheme9(scheme$f, GnBu)],
    ["orrd", scheme9(scheme$e, OrRd)],
    ["pubu", scheme9(scheme$c, PuBu)],
    ["pubugn", scheme9(scheme$d, PuBuGn)],
    ["purd", scheme9(scheme$b, PuRd)],
    ["rdpu", scheme9(scheme$a, RdPu)],
    ["ylgn", scheme9(scheme$8, YlGn)],
    ["ylgnbu", scheme9(scheme$9, YlGnBu)],
    ["ylorbr", scheme9(scheme$7, YlOrBr)],
    ["ylorrd", scheme9(scheme$6, YlOrRd)],
    // cyclical
    ["rainbow", schemeicyclical(rainbow)],
    ["sinebow", schemeicyclical(sinebow)]
  ]);
  function scheme9(scheme2, interpolate) {
    return ({ length: n }) => {
      if (n === 1) return [scheme2[3][1]];
      if (n === 2) return [scheme2[3][1], scheme2[3][2]];
      n = Math.max(3, Math.floor(n));
      return n > 9 ? quantize(interpolate, n) : scheme2[n];
    };
  }
  function scheme11(scheme2, interpolate) {
    return ({ length: n }) => {
      if (n === 2) return [scheme2[3][0], scheme2[3][2]];
      n = Math.max(3, Math.floor(n));
      return n > 11 ? quantize(interpolate, n) : scheme2[n];
    };
  }
  function scheme11r(scheme2, interpolate) {
    return ({ length: n }) => {
      if (n === 2) return [scheme2[3][2], scheme2[3][0]];
      n = Math.max(3, Math.floor(n));
      return n > 11 ? quantize((t) => interpolate(1 - t), n) : scheme2[n].slice().reverse();
    };
  }
  function schemei(interpolate) {
    return ({ length: n }) => quantize(interpolate, Math.max(2, Math.floor(n)));
  }
  function schemeicyclical(interpolate) {
    return ({ length: n }) => quantize(interpolate, Math.floor(n) + 1).slice(0, -1);
  }
  function ordinalScheme(scheme2) {
    const s3 = `${scheme2}`.toLowerCase();
    if (!ordinalSchemes.has(s3)) throw new Error(`unknown ordinal scheme: ${s3}`);
    return ordinalSchemes.get(s3);
  }
  function ordinalRange(scheme2, length2) {
    const s3 = ordinalScheme(scheme2);
    const r = typeof s3 === "function" ? s3({ length: length2 }) : s3;
    return r.length !== length2 ? r.slice(0, length2) : r;
  }
  function maybeBooleanRange(domain, scheme2 = "greys") {
    const range3 = /* @__PURE__ */ new Set();
    const [f, t] = ordinalRange(scheme2, 2);
    for (const value2 of domain) {
      if (value2 == null) continue;
      if (value2 === true) range3.add(t);
      else if (value2 === false) range3.add(f);
      else return;
    }
    return [...range3];
  }
  var quantitativeSchemes = /* @__PURE__ */ new Map([
    // diverging
    ["brbg", BrBG],
    ["prgn", PRGn],
    ["piyg", PiYG],
    ["puor", PuOr],
    ["rdbu", RdBu],
    ["rdgy", RdGy],
    ["rdylbu", RdYlBu],
    ["rdylgn", RdYlGn],
    ["spectral", Spectral],
    // reversed diverging (for temperature data)
    ["burd", (t) => RdBu(1 - t)],
    ["buylrd", (t) => RdYlBu(1 - t)],
    // sequential (single-hue)
    ["blues", Blues],
    ["greens", Greens],
    ["greys", Greys],
    ["purples", Purples],
    ["reds", Reds],
    ["oranges", Oranges],
    // sequential (multi-hue)
    ["turbo", turbo],
    ["viridis", viridis],
    ["magma", magma],
    ["inferno", inferno],
    ["plasma", plasma],
    ["cividis", cividis],
    ["cubehelix", cubehelix3],
    ["warm", warm],
    ["cool", cool],
    ["bugn", BuGn],
    ["bupu", BuPu],
    ["gnbu", GnBu],
    ["orrd", OrRd],
    ["pubugn", PuBuGn],
    ["pubu", PuBu],
    ["purd", PuRd],
    ["rdpu", RdPu],
    ["ylgnbu", YlGnBu],
    ["ylgn", YlGn],
    ["ylorbr", YlOrBr],
    ["ylorrd", YlOrRd],
    // cyclical
    ["rainbow", rainbow],
    ["sinebow", sinebow]
  ]);
  function quantitativeScheme(scheme2) {
    const s3 = `${scheme2}`.toLowerCase();
    if (!quantitativeSchemes.has(s3)) throw new Error(`unknown quantitative scheme: ${s3}`);
    return quantitativeSchemes.get(s3);
  }
  var divergingSchemes = /* @__PURE__ */ new Set([
    "brbg",
    "prgn",
    "piyg",
    "puor",
    "rdbu",
    "rdgy",
    "rdylbu",
    "rdylgn",
    "spectral",
    "burd",
    "buylrd"
  ]);
  function isDivergingScheme(scheme2) {
    return scheme2 != null && divergingSchemes.has(`${scheme2}`.toLowerCase());
  }

  // node_modules/@observablehq/plot/src/scales/quantitative.js
  var flip = (i) => (t) => i(1 - t);
  var unit2 = [0, 1];
  var interpolators = /* @__PURE__ */ new Map([
    // numbers
    ["number", number3],
    // color spaces
    ["rgb", rgb2],
    ["hsl", hsl_default],
    ["hcl", hcl_default],
    ["lab", lab2]
  ]);
  function maybeInterpolator(interpolate) {
    const i = `${interpolate}`.toLowerCase();
    if (!interpolators.has(i)) throw new Error(`unknown interpolator: ${i}`);
    return interpolators.get(i);
  }
  function createScaleQ(key, scale, channels, {
    type,
    nice: nice2,
    clamp,
    zero: zero3,
    domain = inferAutoDomain(key, channels),
    unknown,
    round: round2,
    scheme: scheme2,
    interval,
    range: range3 = registry.get(key) === radius ? inferRadialRange(channels, domain) : registry.get(key) === length ? inferLengthRange(channels, domain) : registry.get(key) === opacity ? unit2 : void 0,
    interpolate = registry.get(key) === color2 ? scheme2 == null && range3 !== void 0 ? rgb2 : quantitativeScheme(scheme2 !== void 0 ? scheme2 : type === "cyclical" ? "rainbow" : "turbo") : round2 ? round : number3,
    reverse: reverse2
  }) {
    domain = maybeRepeat(domain);
    interval = maybeRangeInterval(interval, type);
    if (type === "cyclical" || type === "sequential") type = "linear";
    if (typeof interpolate !== "function") interpolate = maybeInterpolator(interpolate);
    reverse2 = !!reverse2;
    if (range3 !== void 0) {
      const n = domain.length;
      const m = (range3 = maybeRepeat(range3)).length;
      if (n !== m) {
        if (interpolate.length === 1) throw new Error("invalid piecewise interpolator");
        interpolate = piecewise(interpolate, range3);
        range3 = void 0;
      }
    }
    if (interpolate.length === 1) {
      if (reverse2) {
        interpolate = flip(interpolate);
        reverse2 = false;
      }
      if (range3 === void 0) {
        range3 = Float64Array.from(domain, (_, i) => i / (domain.length - 1));
        if (range3.length === 2) range3 = unit2;
      }
      scale.interpolate((range3 === unit2 ? constant4 : interpolatePiecewise)(interpolate));
    } else {
      scale.interpolate(interpolate);
    }
    if (zero3) {
      const [min3, max2] = extent(domain);
      if (min3 > 0 || max2 < 0) {
        domain = slice3(domain);
        const o = orderof(domain) || 1;
        if (o === Math.sign(min3)) domain[0] = 0;
        else domain[domain.length - 1] = 0;
      }
    }
    if (reverse2) domain = reverse(domain);
    scale.domain(domain).unknown(unknown);
    if (nice2) scale.nice(maybeNice(nice2, type)), domain = scale.domain();
    if (range3 !== void 0) scale.range(range3);
    if (clamp) scale.clamp(clamp);
    return { type, domain, range: range3, scale, interpolate, interval };
  }
  function maybeRepeat(values2) {
    values2 = arrayify2(values2);
    return values2.length >= 2 ? values2 : [values2[0], values2[0]];
  }
  function maybeNice(nice2, type) {
    return nice2 === true ? void 0 : typeof nice2 === "number" ? nice2 : maybeNiceInterval(nice2, type);
  }
  function createScaleLinear(key, channels, options) {
    return createScaleQ(key, linear2(), channels, options);
  }
  function createScaleSqrt(key, channels, options) {
    return createScalePow(key, channels, { ...options, exponent: 0.5 });
  }
  function createScalePow(key, channels, { exponent: exponent2 = 1, ...options }) {
    return createScaleQ(key, pow2().exponent(exponent2), channels, { ...options, type: "pow" });
  }
  function createScaleLog(key, channels, { base = 10, domain = inferLogDomain(channels), ...options }) {
    return createScaleQ(key, log2().base(base), channels, { ...options, domain });
  }
  function createScaleSymlog(key, channels, { constant: constant5 = 1, ...options }) {
    return createScaleQ(key, symlog().constant(constant5), channels, options);
  }
  function createScaleQuantile(key, channels, {
    range: range3,
    quantiles = range3 === void 0 ? 5 : (range3 = [...range3]).length,
    // deprecated; use n instead
    n = quantiles,
    scheme: scheme2 = "rdylbu",
    domain = inferQuantileDomain(channels),
    unknown,
    interpolate,
    reverse: reverse2
  }) {
    if (range3 === void 0) {
      range3 = interpolate !== void 0 ? quantize(interpolate, n) : registry.get(key) === color2 ? ordinalRange(scheme2, n) : void 0;
    }
    if (domain.length > 0) {
      domain = quantile2(domain, range3 === void 0 ? { length: n } : range3).quantiles();
    }
    return createScaleThreshold(key, channels, { domain, range: range3, reverse: reverse2, unknown });
  }
  function createScaleQuantize(key, channels, {
    range: range3,
    n = range3 === void 0 ? 5 : (range3 = [...range3]).length,
    scheme: scheme2 = "rdylbu",
    domain = inferAutoDomain(key, channels),
    unknown,
    interpolate,
    reverse: reverse2
  }) {
    const [min3, max2] = extent(domain);
    let thresholds;
    if (range3 === void 0) {
      thresholds = ticks(min3, max2, n);
      if (thresholds[0] <= min3) thresholds.splice(0, 1);
      if (thresholds[thresholds.length - 1] >= max2) thresholds.pop();
      n = thresholds.length + 1;
      range3 = interpolate !== void 0 ? quantize(interpolate, n) : registry.get(key) === color2 ? ordinalRange(scheme2, n) : void 0;
    } else {
      thresholds = quantize(number3(min3, max2), n + 1).slice(1, -1);
      if (min3 instanceof Date) thresholds = thresholds.map((x2) => new Date(x2));
    }
    if (orderof(arrayify2(domain)) < 0) thresholds.reverse();
    return createScaleThreshold(key, channels, { domain: thresholds, range: range3, reverse: reverse2, unknown });
  }
  function createScaleThreshold(key, channels, {
    domain = [0],
    // explicit thresholds in ascending order
    unknown,
    scheme: scheme2 = "rdylbu",
    interpolate,
    range: range3 = interpolate !== void 0 ? quantize(interpolate, domain.length + 1) : registry.get(key) === color2 ? ordinalRange(scheme2, domain.length + 1) : void 0,
    reverse: reverse2
  }) {
    domain = arrayify2(domain);
    const sign3 = orderof(domain);
    if (!isNaN(sign3) && !isOrdered(domain, sign3)) throw new Error(`the ${key} scale has a non-monotonic domain`);
    if (reverse2) range3 = reverse(range3);
    return {
      type: "threshold",
      scale: threshold(sign3 < 0 ? reverse(domain) : domain, range3 === void 0 ? [] : range3).unknown(unknown),
      domain,
      range: range3
    };
  }
  function isOrdered(domain, sign3) {
    for (let i = 1, n = domain.length, d = domain[0]; i < n; ++i) {
      const s3 = descending(d, d = domain[i]);
      if (s3 !== 0 && s3 !== sign3) return false;
    }
    return true;
  }
  function createScaleIdentity(key) {
    return { type: "identity", scale: hasNumericRange(registry.get(key)) ? identity5() : (d) => d };
  }
  function inferDomain(channels, f = finite) {
    return channels.length ? [
      min(channels, ({ value: value2 }) => value2 === void 0 ? value2 : min(value2, f)),
      max(channels, ({ value: value2 }) => value2 === void 0 ? value2 : max(value2, f))
    ] : [0, 1];
  }
  function inferAutoDomain(key, channels) {
    const type = registry.get(key);
    return (type === radius || type === opacity || type === length ? inferZeroDomain : inferDomain)(channels);
  }
  function inferZeroDomain(channels) {
    return [0, channels.length ? max(channels, ({ value: value2 }) => value2 === void 0 ? value2 : max(value2, finite)) : 1];
  }
  function inferRadialRange(channels, domain) {
    const hint = channels.find(({ radius: radius2 }) => radius2 !== void 0);
    if (hint !== void 0) return [0, hint.radius];
    const h25 = quantile(channels, 0.5, ({ value: value2 }) => value2 === void 0 ? NaN : quantile(value2, 0.25, positive));
    const range3 = domain.map((d) => 3 * Math.sqrt(d / h25));
    const k2 = 30 / max(range3);
    return k2 < 1 ? range3.map((r) => r * k2) : range3;
  }
  function inferLengthRange(channels, domain) {
    const h50 = median(channels, ({ value: value2 }) => value2 === void 0 ? NaN : median(value2, Math.abs));
    const range3 = domain.map((d) => 12 * d / h50);
    const k2 = 60 / max(range3);
    return k2 < 1 ? range3.map((r) => r * k2) : range3;
  }
  function inferLogDomain(channels) {
    for (const { value: value2 } of channels) {
      if (value2 !== void 0) {
        for (let v of value2) {
          if (v > 0) return inferDomain(channels, positive);
          if (v < 0) return inferDomain(channels, negative);
        }
      }
    }
    return [1, 10];
  }
  function inferQuantileDomain(channels) {
    const domain = [];
    for (const { value: value2 } of channels) {
      if (value2 === void 0) continue;
      for (const v of value2) domain.push(v);
    }
    return domain;
  }
  function interpolatePiecewise(interpolate) {
    return (i, j) => (t) => interpolate(i + t * (j - i));
  }

  // node_modules/@observablehq/plot/src/warnings.js
  var warnings = 0;
  var lastMessage;
  function consumeWarnings() {
    const w = warnings;
    warnings = 0;
    lastMessage = void 0;
    return w;
  }
  function warn(message) {
    if (message === lastMessage) return;
    lastMessage = message;
    console.warn(message);
    ++warnings;
  }

  // node_modules/@observablehq/plot/src/scales/diverging.js
  function createScaleD(key, scale, transform2, channels, {
    type,
    nice: nice2,
    clamp,
    domain = inferDomain(channels),
    unknown,
    pivot = 0,
    scheme: scheme2,
    range: range3,
    symmetric = true,
    interpolate = registry.get(key) === color2 ? scheme2 == null && range3 !== void 0 ? rgb2 : quantitativeScheme(scheme2 !== void 0 ? scheme2 : "rdbu") : number3,
    reverse: reverse2
  }) {
    pivot = +pivot;
    domain = arrayify2(domain);
    let [min3, max2] = domain;
    if (domain.length > 2) warn(`Warning: the diverging ${key} scale domain contains extra elements.`);
    if (descending(min3, max2) < 0) [min3, max2] = [max2, min3], reverse2 = !reverse2;
    min3 = Math.min(min3, pivot);
    max2 = Math.max(max2, pivot);
    if (typeof interpolate !== "function") {
      interpolate = maybeInterpolator(interpolate);
    }
    if (range3 !== void 0) {
      interpolate = interpolate.length === 1 ? interpolatePiecewise(interpolate)(...range3) : piecewise(interpolate, range3);
    }
    if (reverse2) interpolate = flip(interpolate);
    if (symmetric) {
      const mid2 = transform2.apply(pivot);
      const mindelta = mid2 - transform2.apply(min3);
      const maxdelta = transform2.apply(max2) - mid2;
      if (mindelta < maxdelta) min3 = transform2.invert(mid2 - maxdelta);
      else if (mindelta > maxdelta) max2 = transform2.invert(mid2 + mindelta);
    }
    scale.domain([min3, pivot, max2]).unknown(unknown).interpolator(interpolate);
    if (clamp) scale.clamp(clamp);
    if (nice2) scale.nice(nice2);
    return { type, domain: [min3, max2], pivot, interpolate, scale };
  }
  function createScaleDiverging(key, channels, options) {
    return createScaleD(key, diverging(), transformIdentity, channels, options);
  }
  function createScaleDivergingSqrt(key, channels, options) {
    return createScaleDivergingPow(key, channels, { ...options, exponent: 0.5 });
  }
  function createScaleDivergingPow(key, channels, { exponent: exponent2 = 1, ...options }) {
    return createScaleD(key, divergingPow().exponent(exponent2 = +exponent2), transformPow2(exponent2), channels, {
      ...options,
      type: "diverging-pow"
    });
  }
  function createScaleDivergingLog(key, channels, { base = 10, pivot = 1, domain = inferDomain(channels, pivot < 0 ? negative : positive), ...options }) {
    return createScaleD(key, divergingLog().base(base = +base), transformLog2, channels, {
      domain,
      pivot,
      ...options
    });
  }
  function createScaleDivergingSymlog(key, channels, { constant: constant5 = 1, ...options }) {
    return createScaleD(
      key,
      divergingSymlog().constant(constant5 = +constant5),
      transformSymlog2(constant5),
      channels,
      options
    );
  }
  var transformIdentity = {
    apply(x2) {
      return x2;
    },
    invert(x2) {
      return x2;
    }
  };
  var transformLog2 = {
    apply: Math.log,
    invert: Math.exp
  };
  var transformSqrt2 = {
    apply(x2) {
      return Math.sign(x2) * Math.sqrt(Math.abs(x2));
    },
    invert(x2) {
      return Math.sign(x2) * (x2 * x2);
    }
  };
  function transformPow2(exponent2) {
    return exponent2 === 0.5 ? transformSqrt2 : {
      apply(x2) {
        return Math.sign(x2) * Math.pow(Math.abs(x2), exponent2);
      },
      invert(x2) {
        return Math.sign(x2) * Math.pow(Math.abs(x2), 1 / exponent2);
      }
    };
  }
  function transformSymlog2(constant5) {
    return {
      apply(x2) {
        return Math.sign(x2) * Math.log1p(Math.abs(x2 / constant5));
      },
      invert(x2) {
        return Math.sign(x2) * Math.expm1(Math.abs(x2)) * constant5;
      }
    };
  }

  // node_modules/@observablehq/plot/src/scales/temporal.js
  function createScaleT(key, scale, channels, options) {
    return createScaleQ(key, scale, channels, options);
  }
  function createScaleTime(key, channels, options) {
    return createScaleT(key, time(), channels, options);
  }
  function createScaleUtc(key, channels, options) {
    return createScaleT(key, utcTime(), channels, options);
  }

  // node_modules/@observablehq/plot/src/scales/ordinal.js
  var ordinalImplicit = /* @__PURE__ */ Symbol("ordinal");
  function createScaleO(key, scale, channels, { type, interval, domain, range: range3, reverse: reverse2, hint }) {
    interval = maybeRangeInterval(interval, type);
    if (domain === void 0) domain = inferDomain2(channels, interval, key);
    if (type === "categorical" || type === ordinalImplicit) type = "ordinal";
    if (reverse2) domain = reverse(domain);
    domain = scale.domain(domain).domain();
    if (range3 !== void 0) {
      if (typeof range3 === "function") range3 = range3(domain);
      scale.range(range3);
    }
    return { type, domain, range: range3, scale, hint, interval };
  }
  function createScaleOrdinal(key, channels, { type, interval, domain, range: range3, scheme: scheme2, unknown, ...options }) {
    interval = maybeRangeInterval(interval, type);
    if (domain === void 0) domain = inferDomain2(channels, interval, key);
    let hint;
    if (registry.get(key) === symbol) {
      hint = inferSymbolHint(channels);
      range3 = range3 === void 0 ? inferSymbolRange(hint) : map2(range3, maybeSymbol);
    } else if (registry.get(key) === color2) {
      if (range3 === void 0 && (type === "ordinal" || type === ordinalImplicit)) {
        range3 = maybeBooleanRange(domain, scheme2);
        if (range3 !== void 0) scheme2 = void 0;
      }
      if (scheme2 === void 0 && range3 === void 0) {
        scheme2 = type === "ordinal" ? "turbo" : "observable10";
      }
      if (scheme2 !== void 0) {
        if (range3 !== void 0) {
          const interpolate = quantitativeScheme(scheme2);
          const t03 = range3[0], d = range3[1] - range3[0];
          range3 = ({ length: n }) => quantize((t) => interpolate(t03 + d * t), n);
        } else {
          range3 = ordinalScheme(scheme2);
        }
      }
    }
    if (unknown === implicit) {
      throw new Error(`implicit unknown on ${key} scale is not supported`);
    }
    return createScaleO(key, ordinal().unknown(unknown), channels, { ...options, type, domain, range: range3, hint });
  }
  function createScalePoint(key, channels, { align = 0.5, padding = 0.5, ...options }) {
    return maybeRound(point().align(align).padding(padding), channels, options, key);
  }
  function createScaleBand(key, channels, {
    align = 0.5,
    padding = 0.1,
    paddingInner = padding,
    paddingOuter = key === "fx" || key === "fy" ? 0 : padding,
    ...options
  }) {
    return maybeRound(
      band().align(align).paddingInner(paddingInner).paddingOuter(paddingOuter),
      channels,
      options,
      key
    );
  }
  function maybeRound(scale, channels, options, key) {
    let { round: round2 } = options;
    if (round2 !== void 0) scale.round(round2 = !!round2);
    scale = createScaleO(key, scale, channels, options);
    scale.round = round2;
    return scale;
  }
  function inferDomain2(channels, interval, key) {
    const values2 = new InternSet();
    for (const { value: value2, domain } of channels) {
      if (domain !== void 0) return domain();
      if (value2 === void 0) continue;
      for (const v of value2) values2.add(v);
    }
    if (interval !== void 0) {
      const [min3, max2] = extent(values2).map(interval.floor, interval);
      return interval.range(min3, interval.offset(max2));
    }
    if (values2.size > 1e4 && registry.get(key) === position) {
      throw new Error(`implicit ordinal domain of ${key} scale has more than 10,000 values`);
    }
    return sort(values2, ascendingDefined2);
  }
  function inferHint(channels, key) {
    let value2;
    for (const { hint } of channels) {
      const candidate = hint?.[key];
      if (candidate === void 0) continue;
      if (value2 === void 0) value2 = candidate;
      else if (value2 !== candidate) return;
    }
    return value2;
  }
  function inferSymbolHint(channels) {
    return {
      fill: inferHint(channels, "fill"),
      stroke: inferHint(channels, "stroke")
    };
  }
  function inferSymbolRange(hint) {
    return isNoneish(hint.fill) ? symbolsStroke : symbolsFill;
  }

  // node_modules/@observablehq/plot/src/scales.js
  function createScales(channelsByScale, {
    label: globalLabel,
    inset: globalInset = 0,
    insetTop: globalInsetTop = globalInset,
    insetRight: globalInsetRight = globalInset,
    insetBottom: globalInsetBottom = globalInset,
    insetLeft: globalInsetLeft = globalInset,
    round: round2,
    nice: nice2,
    clamp,
    zero: zero3,
    align,
    padding,
    projection: projection3,
    facet: { label: facetLabel = globalLabel } = {},
    ...options
  } = {}) {
    const scales = {};
    for (const [key, channels] of channelsByScale) {
      const scaleOptions = options[key];
      const scale = createScale(key, channels, {
        round: registry.get(key) === position ? round2 : void 0,
        // only for position
        nice: nice2,
        clamp,
        zero: zero3,
        align,
        padding,
        projection: projection3,
        ...scaleOptions
      });
      if (scale) {
        let {
          label = key === "fx" || key === "fy" ? facetLabel : globalLabel,
          percent,
          transform: transform2,
          inset,
          insetTop = inset !== void 0 ? inset : key === "y" ? globalInsetTop : 0,
          // not fy
          insetRight = inset !== void 0 ? inset : key === "x" ? globalInsetRight : 0,
          // not fx
          insetBottom = inset !== void 0 ? inset : key === "y" ? globalInsetBottom : 0,
          // not fy
          insetLeft = inset !== void 0 ? inset : key === "x" ? globalInsetLeft : 0
          // not fx
        } = scaleOptions || {};
        if (transform2 == null) transform2 = void 0;
        else if (typeof transform2 !== "function") throw new Error("invalid scale transform; not a function");
        scale.percent = !!percent;
        scale.label = label === void 0 ? inferScaleLabel(channels, scale) : label;
        scale.transform = transform2;
        if (key === "x" || key === "fx") {
          scale.insetLeft = +insetLeft;
          scale.insetRight = +insetRight;
        } else if (key === "y" || key === "fy") {
          scale.insetTop = +insetTop;
          scale.insetBottom = +insetBottom;
        }
        scales[key] = scale;
      }
    }
    return scales;
  }
  function createScaleFunctions(descriptors) {
    const scales = {};
    const scaleFunctions = { scales };
    for (const [key, descriptor] of Object.entries(descriptors)) {
      const { scale, type, interval, label } = descriptor;
      scales[key] = exposeScale(descriptor);
      scaleFunctions[key] = scale;
      scale.type = type;
      if (interval != null) scale.interval = interval;
      if (label != null) scale.label = label;
    }
    return scaleFunctions;
  }
  function autoScaleRange(scales, dimensions) {
    const { x: x2, y: y2, fx, fy } = scales;
    const superdimensions = fx || fy ? outerDimensions(dimensions) : dimensions;
    if (fx) autoScaleRangeX(fx, superdimensions);
    if (fy) autoScaleRangeY(fy, superdimensions);
    const subdimensions = fx || fy ? innerDimensions(scales, dimensions) : dimensions;
    if (x2) autoScaleRangeX(x2, subdimensions);
    if (y2) autoScaleRangeY(y2, subdimensions);
  }
  function inferScaleLabel(channels = [], scale) {
    let label;
    for (const { label: l } of channels) {
      if (l === void 0) continue;
      if (label === void 0) label = l;
      else if (label !== l) return;
    }
    if (label === void 0) return;
    if (!isOrdinalScale(scale) && scale.percent) label = `${label} (%)`;
    return { inferred: true, toString: () => label };
  }
  function inferScaleOrder(scale) {
    return Math.sign(orderof(scale.domain())) * Math.sign(orderof(scale.range()));
  }
  function outerDimensions(dimensions) {
    const {
      marginTop,
      marginRight,
      marginBottom,
      marginLeft,
      width,
      height,
      facet: {
        marginTop: facetMarginTop,
        marginRight: facetMarginRight,
        marginBottom: facetMarginBottom,
        marginLeft: facetMarginLeft
      }
    } = dimensions;
    return {
      marginTop: Math.max(marginTop, facetMarginTop),
      marginRight: Math.max(marginRight, facetMarginRight),
      marginBottom: Math.max(marginBottom, facetMarginBottom),
      marginLeft: Math.max(marginLeft, facetMarginLeft),
      width,
      height
    };
  }
  function innerDimensions({ fx, fy }, dimensions) {
    const { marginTop, marginRight, marginBottom, marginLeft, width, height } = outerDimensions(dimensions);
    return {
      marginTop,
      marginRight,
      marginBottom,
      marginLeft,
      width: fx ? fx.scale.bandwidth() + marginLeft + marginRight : width,
      height: fy ? fy.scale.bandwidth() + marginTop + marginBottom : height,
      facet: { width, height }
    };
  }
  function autoScaleRangeX(scale, dimensions) {
    if (scale.range === void 0) {
      const { insetLeft, insetRight } = scale;
      const { width, marginLeft = 0, marginRight = 0 } = dimensions;
      const left2 = marginLeft + insetLeft;
      const right2 = width - marginRight - insetRight;
      scale.range = [left2, Math.max(left2, right2)];
      if (!isOrdinalScale(scale)) scale.range = piecewiseRange(scale);
      scale.scale.range(scale.range);
    }
    autoScaleRound(scale);
  }
  function autoScaleRangeY(scale, dimensions) {
    if (scale.range === void 0) {
      const { insetTop, insetBottom } = scale;
      const { height, marginTop = 0, marginBottom = 0 } = dimensions;
      const top2 = marginTop + insetTop;
      const bottom2 = height - marginBottom - insetBottom;
      scale.range = [Math.max(top2, bottom2), top2];
      if (!isOrdinalScale(scale)) scale.range = piecewiseRange(scale);
      else scale.range.reverse();
      scale.scale.range(scale.range);
    }
    autoScaleRound(scale);
  }
  function autoScaleRound(scale) {
    if (scale.round === void 0 && isBandScale(scale) && roundError(scale) <= 30) {
      scale.scale.round(true);
    }
  }
  function roundError({ scale }) {
    const n = scale.domain().length;
    const [start, stop] = scale.range();
    const paddingInner = scale.paddingInner ? scale.paddingInner() : 1;
    const paddingOuter = scale.paddingOuter ? scale.paddingOuter() : scale.padding();
    const m = n - paddingInner;
    const step2 = Math.abs(stop - start) / Math.max(1, m + paddingOuter * 2);
    return (step2 - Math.floor(step2)) * m;
  }
  function piecewiseRange(scale) {
    const length2 = scale.scale.domain().length + isThresholdScale(scale);
    if (!(length2 > 2)) return scale.range;
    const [start, end] = scale.range;
    return Array.from({ length: length2 }, (_, i) => start + i / (length2 - 1) * (end - start));
  }
  function createScale(key, channels = [], options = {}) {
    const type = inferScaleType(key, channels, options);
    if (options.type === void 0 && options.domain === void 0 && options.range === void 0 && options.interval == null && key !== "fx" && key !== "fy" && isOrdinalScale({ type })) {
      const values2 = channels.map(({ value: value2 }) => value2).filter((value2) => value2 !== void 0);
      if (values2.some(isTemporal))
        warn(
          `Warning: some data associated with the ${key} scale are dates. Dates are typically associated with a "utc" or "time" scale rather than a "${formatScaleType(
            type
          )}" scale. If you are using a bar mark, you probably want a rect mark with the interval option instead; if you are using a group transform, you probably want a bin transform instead. If you want to treat this data as ordinal, you can specify the interval of the ${key} scale (e.g., d3.utcDay), or you can suppress this warning by setting the type of the ${key} scale to "${formatScaleType(
            type
          )}".`
        );
      else if (values2.some(isTemporalString))
        warn(
          `Warning: some data associated with the ${key} scale are strings that appear to be dates (e.g., YYYY-MM-DD). If these strings represent dates, you should parse them to Date objects. Dates are typically associated with a "utc" or "time" scale rather than a "${formatScaleType(
            type
          )}" scale. If you are using a bar mark, you probably want a rect mark with the interval option instead; if you are using a group transform, you probably want a bin transform instead. If you want to treat this data as ordinal, you can suppress this warning by setting the type of the ${key} scale to "${formatScaleType(
            type
          )}".`
        );
      else if (values2.some(isNumericString))
        warn(
          `Warning: some data associated with the ${key} scale are strings that appear to be numbers. If these strings represent numbers, you should parse or coerce them to numbers. Numbers are typically associated with a "linear" scale rather than a "${formatScaleType(
            type
          )}" scale. If you want to treat this data as ordinal, you can specify the interval of the ${key} scale (e.g., 1 for integers), or you can suppress this warning by setting the type of the ${key} scale to "${formatScaleType(
            type
          )}".`
        );
    }
    options.type = type;
    switch (type) {
      case "diverging":
      case "diverging-sqrt":
      case "diverging-pow":
      case "diverging-log":
      case "diverging-symlog":
      case "cyclical":
      case "sequential":
      case "linear":
      case "sqrt":
      case "threshold":
      case "quantile":
      case "pow":
      case "log":
      case "symlog":
        options = coerceType(channels, options, coerceNumbers);
        break;
      case "identity":
        switch (registry.get(key)) {
          case position:
            options = coerceType(channels, options, coerceNumbers);
            break;
          case symbol:
            options = coerceType(channels, options, coerceSymbols);
            break;
        }
        break;
      case "utc":
      case "time":
        options = coerceType(channels, options, coerceDates);
        break;
    }
    switch (type) {
      case "diverging":
        return createScaleDiverging(key, channels, options);
      case "diverging-sqrt":
        return createScaleDivergingSqrt(key, channels, options);
      case "diverging-pow":
        return createScaleDivergingPow(key, channels, options);
      case "diverging-log":
        return createScaleDivergingLog(key, channels, options);
      case "diverging-symlog":
        return createScaleDivergingSymlog(key, channels, options);
      case "categorical":
      case "ordinal":
      case ordinalImplicit:
        return createScaleOrdinal(key, channels, options);
      case "cyclical":
      case "sequential":
      case "linear":
        return createScaleLinear(key, channels, options);
      case "sqrt":
        return createScaleSqrt(key, channels, options);
      case "threshold":
        return createScaleThreshold(key, channels, options);
      case "quantile":
        return createScaleQuantile(key, channels, options);
      case "quantize":
        return createScaleQuantize(key, channels, options);
      case "pow":
        return createScalePow(key, channels, options);
      case "log":
        return createScaleLog(key, channels, options);
      case "symlog":
        return createScaleSymlog(key, channels, options);
      case "utc":
        return createScaleUtc(key, channels, options);
      case "time":
        return createScaleTime(key, channels, options);
      case "point":
        return createScalePoint(key, channels, options);
      case "band":
        return createScaleBand(key, channels, options);
      case "identity":
        return createScaleIdentity(key);
      case void 0:
        return;
      default:
        throw new Error(`unknown scale type: ${type}`);
    }
  }
  function formatScaleType(type) {
    return typeof type === "symbol" ? type.description : type;
  }
  function maybeScaleType(type) {
    return typeof type === "string" ? `${type}`.toLowerCase() : type;
  }
  var typeProjection = { toString: () => "projection" };
  function inferScaleType(key, channels, { type, domain, range: range3, scheme: scheme2, pivot, projection: projection3 }) {
    type = maybeScaleType(type);
    if (key === "fx" || key === "fy") return "band";
    if ((key === "x" || key === "y") && projection3 != null) type = typeProjection;
    for (const channel of channels) {
      const t = maybeScaleType(channel.type);
      if (t === void 0) continue;
      else if (type === void 0) type = t;
      else if (type !== t) throw new Error(`scale incompatible with channel: ${type} !== ${t}`);
    }
    if (type === typeProjection) return;
    if (type !== void 0) return type;
    if (domain === void 0 && !channels.some(({ value: value2 }) => value2 !== void 0)) return;
    const kind = registry.get(key);
    if (kind === radius) return "sqrt";
    if (kind === opacity || kind === length) return "linear";
    if (kind === symbol) return "ordinal";
    const n = (domain ?? range3)?.length;
    if (n < 2 || n > 2) return asOrdinalType(kind);
    if (domain !== void 0) {
      if (isOrdinal(domain)) return asOrdinalType(kind);
      if (isTemporal(domain)) return "utc";
    } else {
      const values2 = channels.map(({ value: value2 }) => value2).filter((value2) => value2 !== void 0);
      if (values2.some(isOrdinal)) return asOrdinalType(kind);
      if (values2.some(isTemporal)) return "utc";
    }
    if (kind === color2) {
      if (pivot != null || isDivergingScheme(scheme2)) return "diverging";
      if (isCategoricalScheme(scheme2)) return "categorical";
    }
    return "linear";
  }
  function asOrdinalType(kind) {
    switch (kind) {
      case position:
        return "point";
      case color2:
        return ordinalImplicit;
      default:
        return "ordinal";
    }
  }
  function isOrdinalScale({ type }) {
    return type === "ordinal" || type === "point" || type === "band" || type === ordinalImplicit;
  }
  function isThresholdScale({ type }) {
    return type === "threshold";
  }
  function isBandScale({ type }) {
    return type === "point" || type === "band";
  }
  function isCollapsed(scale) {
    if (scale === void 0) return true;
    const domain = scale.domain();
    const value2 = scale(domain[0]);
    for (let i = 1, n = domain.length; i < n; ++i) {
      if (scale(domain[i]) - value2) {
        return false;
      }
    }
    return true;
  }
  function coerceType(channels, { domain, ...options }, coerceValues) {
    for (const c3 of channels) {
      if (c3.value !== void 0) {
        if (domain === void 0) domain = c3.value?.domain;
        c3.value = coerceValues(c3.value);
      }
    }
    return {
      domain: domain === void 0 ? domain : coerceValues(domain),
      ...options
    };
  }
  function coerceSymbols(values2) {
    return map2(values2, maybeSymbol);
  }
  function exposeScales(scales) {
    return (key) => {
      if (!registry.has(key = `${key}`)) throw new Error(`unknown scale: ${key}`);
      return scales[key];
    };
  }
  function exposeScale({ scale, type, domain, range: range3, interpolate, interval, transform: transform2, percent, pivot }) {
    if (type === "identity") return { type: "identity", apply: (d) => d, invert: (d) => d };
    const unknown = scale.unknown ? scale.unknown() : void 0;
    return {
      type,
      domain: slice3(domain),
      // defensive copy
      ...range3 !== void 0 && { range: slice3(range3) },
      // defensive copy
      ...transform2 !== void 0 && { transform: transform2 },
      ...percent && { percent },
      // only exposed if truthy
      ...unknown !== void 0 && { unknown },
      ...interval !== void 0 && { interval },
      // quantitative
      ...interpolate !== void 0 && { interpolate },
      ...scale.clamp && { clamp: scale.clamp() },
      // diverging (always asymmetric; we never want to apply the symmetric transform twice)
      ...pivot !== void 0 && { pivot, symmetric: false },
      // log, diverging-log
      ...scale.base && { base: scale.base() },
      // pow, diverging-pow
      ...scale.exponent && { exponent: scale.exponent() },
      // symlog, diverging-symlog
      ...scale.constant && { constant: scale.constant() },
      // band, point
      ...scale.align && { align: scale.align(), round: scale.round() },
      ...scale.padding && (scale.paddingInner ? { paddingInner: scale.paddingInner(), paddingOuter: scale.paddingOuter() } : { padding: scale.padding() }),
      ...scale.bandwidth && { bandwidth: scale.bandwidth(), step: scale.step() },
      // utilities
      apply: (t) => scale(t),
      ...scale.invert && { invert: (t) => scale.invert(t) }
    };
  }

  // node_modules/@observablehq/plot/src/facet.js
  function createFacets(channelsByScale, options) {
    const { fx, fy } = createScales(channelsByScale, options);
    const fxDomain = fx?.scale.domain();
    const fyDomain = fy?.scale.domain();
    return fxDomain && fyDomain ? cross(fxDomain, fyDomain).map(([x2, y2], i) => ({ x: x2, y: y2, i })) : fxDomain ? fxDomain.map((x2, i) => ({ x: x2, i })) : fyDomain ? fyDomain.map((y2, i) => ({ y: y2, i })) : void 0;
  }
  function recreateFacets(facets, { x: X3, y: Y3 }) {
    X3 &&= facetIndex(X3);
    Y3 &&= facetIndex(Y3);
    return facets.filter(
      X3 && Y3 ? (f) => X3.has(f.x) && Y3.has(f.y) : X3 ? (f) => X3.has(f.x) : (f) => Y3.has(f.y)
    ).sort(
      X3 && Y3 ? (a2, b) => X3.get(a2.x) - X3.get(b.x) || Y3.get(a2.y) - Y3.get(b.y) : X3 ? (a2, b) => X3.get(a2.x) - X3.get(b.x) : (a2, b) => Y3.get(a2.y) - Y3.get(b.y)
    );
  }
  function facetGroups(data, { fx, fy }) {
    const I = range2(data);
    const FX = fx?.value;
    const FY = fy?.value;
    return fx && fy ? rollup(
      I,
      (G) => (G.fx = FX[G[0]], G.fy = FY[G[0]], G),
      (i) => FX[i],
      (i) => FY[i]
    ) : fx ? rollup(
      I,
      (G) => (G.fx = FX[G[0]], G),
      (i) => FX[i]
    ) : rollup(
      I,
      (G) => (G.fy = FY[G[0]], G),
      (i) => FY[i]
    );
  }
  function facetTranslator(fx, fy, { marginTop, marginLeft }) {
    const x2 = fx ? ({ x: x3 }) => fx(x3) - marginLeft : () => 0;
    const y2 = fy ? ({ y: y3 }) => fy(y3) - marginTop : () => 0;
    return function(d) {
      if (this.tagName === "svg") {
        this.setAttribute("x", x2(d));
        this.setAttribute("y", y2(d));
      } else {
        this.setAttribute("transform", `translate(${x2(d)},${y2(d)})`);
      }
    };
  }
  function facetExclude(index2) {
    const ex = [];
    const e = new Uint32Array(sum(index2, (d) => d.length));
    for (const i of index2) {
      let n = 0;
      for (const j of index2) {
        if (i === j) continue;
        e.set(j, n);
        n += j.length;
      }
      ex.push(e.slice(0, n));
    }
    return ex;
  }
  var facetAnchors = /* @__PURE__ */ new Map([
    ["top", facetAnchorTop],
    ["right", facetAnchorRight],
    ["bottom", facetAnchorBottom],
    ["left", facetAnchorLeft],
    ["top-left", and(facetAnchorTop, facetAnchorLeft)],
    ["top-right", and(facetAnchorTop, facetAnchorRight)],
    ["bottom-left", and(facetAnchorBottom, facetAnchorLeft)],
    ["bottom-right", and(facetAnchorBottom, facetAnchorRight)],
    ["top-empty", facetAnchorTopEmpty],
    ["right-empty", facetAnchorRightEmpty],
    ["bottom-empty", facetAnchorBottomEmpty],
    ["left-empty", facetAnchorLeftEmpty],
    ["empty", facetAnchorEmpty]
  ]);
  function maybeFacetAnchor(facetAnchor) {
    if (facetAnchor == null) return null;
    const anchor = facetAnchors.get(`${facetAnchor}`.toLowerCase());
    if (anchor) return anchor;
    throw new Error(`invalid facet anchor: ${facetAnchor}`);
  }
  var indexCache = /* @__PURE__ */ new WeakMap();
  function facetIndex(V2) {
    let I = indexCache.get(V2);
    if (!I) indexCache.set(V2, I = new InternMap(map2(V2, (v, i) => [v, i])));
    return I;
  }
  function facetIndexOf(V2, v) {
    return facetIndex(V2).get(v);
  }
  function facetFind(facets, x2, y2) {
    x2 = keyof2(x2);
    y2 = keyof2(y2);
    return facets.find((f) => Object.is(keyof2(f.x), x2) && Object.is(keyof2(f.y), y2));
  }
  function facetEmpty(facets, x2, y2) {
    return facetFind(facets, x2, y2)?.empty;
  }
  function facetAnchorTop(facets, { y: Y3 }, { y: y2 }) {
    return Y3 ? facetIndexOf(Y3, y2) === 0 : true;
  }
  function facetAnchorBottom(facets, { y: Y3 }, { y: y2 }) {
    return Y3 ? facetIndexOf(Y3, y2) === Y3.length - 1 : true;
  }
  function facetAnchorLeft(facets, { x: X3 }, { x: x2 }) {
    return X3 ? facetIndexOf(X3, x2) === 0 : true;
  }
  function facetAnchorRight(facets, { x: X3 }, { x: x2 }) {
    return X3 ? facetIndexOf(X3, x2) === X3.length - 1 : true;
  }
  function facetAnchorTopEmpty(facets, { y: Y3 }, { x: x2, y: y2, empty: empty3 }) {
    if (empty3) return false;
    if (!Y3) return;
    const i = facetIndexOf(Y3, y2);
    if (i > 0) return facetEmpty(facets, x2, Y3[i - 1]);
  }
  function facetAnchorBottomEmpty(facets, { y: Y3 }, { x: x2, y: y2, empty: empty3 }) {
    if (empty3) return false;
    if (!Y3) return;
    const i = facetIndexOf(Y3, y2);
    if (i < Y3.length - 1) return facetEmpty(facets, x2, Y3[i + 1]);
  }
  function facetAnchorLeftEmpty(facets, { x: X3 }, { x: x2, y: y2, empty: empty3 }) {
    if (empty3) return false;
    if (!X3) return;
    const i = facetIndexOf(X3, x2);
    if (i > 0) return facetEmpty(facets, X3[i - 1], y2);
  }
  function facetAnchorRightEmpty(facets, { x: X3 }, { x: x2, y: y2, empty: empty3 }) {
    if (empty3) return false;
    if (!X3) return;
    const i = facetIndexOf(X3, x2);
    if (i < X3.length - 1) return facetEmpty(facets, X3[i + 1], y2);
  }
  function facetAnchorEmpty(facets, channels, { empty: empty3 }) {
    return empty3;
  }
  function and(a2, b) {
    return function() {
      return a2.apply(null, arguments) && b.apply(null, arguments);
    };
  }
  function facetFilter(facets, { channels: { fx, fy }, groups }) {
    return fx && fy ? facets.map(({ x: x2, y: y2 }) => groups.get(x2)?.get(y2) ?? []) : fx ? facets.map(({ x: x2 }) => groups.get(x2) ?? []) : facets.map(({ y: y2 }) => groups.get(y2) ?? []);
  }

  // node_modules/@observablehq/plot/src/projection.js
  var pi4 = Math.PI;
  var tau4 = 2 * pi4;
  var defaultAspectRatio = 0.618;
  function createProjection({
    projection: projection3,
    inset: globalInset = 0,
    insetTop = globalInset,
    insetRight = globalInset,
    insetBottom = globalInset,
    insetLeft = globalInset
  } = {}, dimensions) {
    if (projection3 == null) return;
    if (typeof projection3.stream === "function") return projection3;
    let options;
    let domain;
    let clip2 = "frame";
    if (isObject(projection3)) {
      let inset;
      ({
        type: projection3,
        domain,
        inset,
        insetTop = inset !== void 0 ? inset : insetTop,
        insetRight = inset !== void 0 ? inset : insetRight,
        insetBottom = inset !== void 0 ? inset : insetBottom,
        insetLeft = inset !== void 0 ? inset : insetLeft,
        clip: clip2 = clip2,
        ...options
      } = projection3);
      if (projection3 == null) return;
    }
    if (typeof projection3 !== "function") ({ type: projection3 } = namedProjection(projection3));
    const { width, height, marginLeft, marginRight, marginTop, marginBottom } = dimensions;
    const dx = width - marginLeft - marginRight - insetLeft - insetRight;
    const dy = height - marginTop - marginBottom - insetTop - insetBottom;
    projection3 = projection3?.({ width: dx, height: dy, clip: clip2, ...options });
    if (projection3 == null) return;
    clip2 = maybePostClip(clip2, marginLeft, marginTop, width - marginRight, height - marginBottom);
    let tx = marginLeft + insetLeft;
    let ty = marginTop + insetTop;
    let transform2;
    if (domain != null) {
      const [[x02, y02], [x12, y12]] = index(projection3).bounds(domain);
      const k2 = Math.min(dx / (x12 - x02), dy / (y12 - y02));
      if (k2 > 0) {
        tx -= (k2 * (x02 + x12) - dx) / 2;
        ty -= (k2 * (y02 + y12) - dy) / 2;
        transform2 = transform({
          point(x2, y2) {
            this.stream.point(x2 * k2 + tx, y2 * k2 + ty);
          }
        });
      } else {
        warn(`Warning: the projection could not be fit to the specified domain; using the default scale.`);
      }
    }
    transform2 ??= tx === 0 && ty === 0 ? identity7() : transform({
      point(x2, y2) {
        this.stream.point(x2 + tx, y2 + ty);
      }
    });
    return { stream: (s3) => projection3.stream(transform2.stream(clip2(s3))) };
  }
  function namedProjection(projection3) {
    switch (`${projection3}`.toLowerCase()) {
      case "albers-usa":
        return scaleProjection(albersUsa, 0.7463, 0.4673);
      case "albers":
        return conicProjection2(albers, 0.7463, 0.4673);
      case "azimuthal-equal-area":
        return scaleProjection(azimuthalEqualArea, 4, 4);
      case "azimuthal-equidistant":
        return scaleProjection(azimuthalEquidistant, tau4, tau4);
      case "conic-conformal":
        return conicProjection2(conicConformal, tau4, tau4);
      case "conic-equal-area":
        return conicProjection2(conicEqualArea, 6.1702, 2.9781);
      case "conic-equidistant":
        return conicProjection2(conicEquidistant, 7.312, 3.6282);
      case "equal-earth":
        return scaleProjection(equalEarth, 5.4133, 2.6347);
      case "equirectangular":
        return scaleProjection(equirectangular, tau4, pi4);
      case "gnomonic":
        return scaleProjection(gnomonic, 3.4641, 3.4641);
      case "identity":
        return { type: identity7 };
      case "reflect-y":
        return { type: reflectY };
      case "mercator":
        return scaleProjection(mercator, tau4, tau4);
      case "orthographic":
        return scaleProjection(orthographic, 2, 2);
      case "stereographic":
        return scaleProjection(stereographic, 2, 2);
      case "transverse-mercator":
        return scaleProjection(transverseMercator, tau4, tau4);
      default:
        throw new Error(`unknown projection type: ${projection3}`);
    }
  }
  function maybePostClip(clip2, x12, y12, x2, y2) {
    if (clip2 === false || clip2 == null || typeof clip2 === "number") return (s3) => s3;
    if (clip2 === true) clip2 = "frame";
    switch (`${clip2}`.toLowerCase()) {
      case "frame":
        return clipRectangle(x12, y12, x2, y2);
      default:
        throw new Error(`unknown projection clip type: ${clip2}`);
    }
  }
  function scaleProjection(createProjection2, kx2, ky2) {
    return {
      type: ({ width, height, rotate, precision = 0.15, clip: clip2 }) => {
        const projection3 = createProjection2();
        if (precision != null) projection3.precision?.(precision);
        if (rotate != null) projection3.rotate?.(rotate);
        if (typeof clip2 === "number") projection3.clipAngle?.(clip2);
        if (width != null) {
          projection3.scale(Math.min(width / kx2, height / ky2));
          projection3.translate([width / 2, height / 2]);
        }
        return projection3;
      },
      aspectRatio: ky2 / kx2
    };
  }
  function conicProjection2(createProjection2, kx2, ky2) {
    const { type, aspectRatio } = scaleProjection(createProjection2, kx2, ky2);
    return {
      type: (options) => {
        const { parallels, domain, width, height } = options;
        const projection3 = type(options);
        if (parallels != null) {
          projection3.parallels(parallels);
          if (domain === void 0 && width != null) {
            projection3.fitSize([width, height], { type: "Sphere" });
          }
        }
        return projection3;
      },
      aspectRatio
    };
  }
  var identity7 = constant4({ stream: (stream) => stream });
  var reflectY = constant4(
    transform({
      point(x2, y2) {
        this.stream.point(x2, -y2);
      }
    })
  );
  function project(cx, cy, values2, projection3) {
    const x2 = values2[cx];
    const y2 = values2[cy];
    const n = x2.length;
    const X3 = values2[cx] = new Float64Array(n).fill(NaN);
    const Y3 = values2[cy] = new Float64Array(n).fill(NaN);
    let i;
    const stream = projection3.stream({
      point(x3, y3) {
        X3[i] = x3;
        Y3[i] = y3;
      }
    });
    for (i = 0; i < n; ++i) {
      stream.point(x2[i], y2[i]);
    }
  }
  function hasProjection({ projection: projection3 } = {}) {
    if (projection3 == null) return false;
    if (typeof projection3.stream === "function") return true;
    if (isObject(projection3)) projection3 = projection3.type;
    return projection3 != null;
  }
  function projectionAspectRatio(projection3) {
    if (typeof projection3?.stream === "function") return defaultAspectRatio;
    if (isObject(projection3)) {
      let domain, options;
      ({ domain, type: projection3, ...options } = projection3);
      if (domain != null && projection3 != null) {
        const type = typeof projection3 === "string" ? namedProjection(projection3).type : projection3;
        const [[x02, y02], [x12, y12]] = index(type({ ...options, width: 100, height: 100 })).bounds(domain);
        const r = (y12 - y02) / (x12 - x02);
        return r && isFinite(r) ? r < 0.2 ? 0.2 : r > 5 ? 5 : r : defaultAspectRatio;
      }
    }
    if (projection3 == null) return;
    if (typeof projection3 !== "function") {
      const { aspectRatio } = namedProjection(projection3);
      if (aspectRatio) return aspectRatio;
    }
    return defaultAspectRatio;
  }
  function getGeometryChannels(channel) {
    const X3 = [];
    const Y3 = [];
    const x2 = { scale: "x", value: X3 };
    const y2 = { scale: "y", value: Y3 };
    const sink = {
      point(x3, y3) {
        X3.push(x3);
        Y3.push(y3);
      },
      lineStart() {
      },
      lineEnd() {
      },
      polygonStart() {
      },
      polygonEnd() {
      },
      sphere() {
      }
    };
    for (const object2 of channel.value) geoStream(object2, sink);
    return [x2, y2];
  }
  function xyProjection({ x: X3, y: Y3 }) {
    if (X3 || Y3) {
      X3 ??= (x2) => x2;
      Y3 ??= (y2) => y2;
      return transform({
        point(x2, y2) {
          this.stream.point(X3(x2), Y3(y2));
        }
      });
    }
  }

  // node_modules/@observablehq/plot/src/context.js
  function createContext(options = {}) {
    const { document: document2 = typeof window !== "undefined" ? window.document : void 0, clip: clip2 } = options;
    return { document: document2, clip: maybeClip(clip2) };
  }
  function create(name, { document: document2 }) {
    return select(creator(name).call(document2.documentElement));
  }

  // node_modules/@observablehq/plot/src/memoize.js
  var unset = /* @__PURE__ */ Symbol("unset");
  function memoize1(compute) {
    return (compute.length === 1 ? memoize1Arg : memoize1Args)(compute);
  }
  function memoize1Arg(compute) {
    let cacheValue;
    let cacheKey = unset;
    return (key) => {
      if (!Object.is(cacheKey, key)) {
        cacheKey = key;
        cacheValue = compute(key);
      }
      return cacheValue;
    };
  }
  function memoize1Args(compute) {
    let cacheValue, cacheKeys;
    return (...keys) => {
      if (cacheKeys?.length !== keys.length || cacheKeys.some((k2, i) => !Object.is(k2, keys[i]))) {
        cacheKeys = keys;
        cacheValue = compute(...keys);
      }
      return cacheValue;
    };
  }

  // node_modules/@observablehq/plot/src/format.js
  var numberFormat = memoize1((locale3) => {
    return new Intl.NumberFormat(locale3);
  });
  var monthFormat = memoize1((locale3, month) => {
    return new Intl.DateTimeFormat(locale3, { timeZone: "UTC", ...month && { month } });
  });
  var weekdayFormat = memoize1((locale3, weekday) => {
    return new Intl.DateTimeFormat(locale3, { timeZone: "UTC", ...weekday && { weekday } });
  });
  function formatNumber(locale3 = "en-US") {
    const format3 = numberFormat(locale3);
    return (i) => i != null && !isNaN(i) ? format3.format(i) : void 0;
  }
  function formatIsoDate(date3) {
    return format2(date3, "Invalid Date");
  }
  function formatAuto(locale3 = "en-US") {
    const number7 = formatNumber(locale3);
    return (v) => (v instanceof Date ? formatIsoDate : typeof v === "number" ? number7 : string2)(v);
  }
  var formatDefault = formatAuto();

  // node_modules/@observablehq/plot/src/style.js
  var offset = (typeof window !== "undefined" ? window.devicePixelRatio > 1 : typeof it === "undefined") ? 0 : 0.5;
  var nextClipId = 0;
  function getClipId() {
    return `plot-clip-${++nextClipId}`;
  }
  function styles(mark, {
    title,
    href,
    ariaLabel: variaLabel,
    ariaDescription,
    ariaHidden,
    target,
    fill,
    fillOpacity,
    stroke,
    strokeWidth,
    strokeOpacity,
    strokeLinejoin,
    strokeLinecap,
    strokeMiterlimit,
    strokeDasharray,
    strokeDashoffset,
    opacity: opacity2,
    mixBlendMode,
    imageFilter,
    paintOrder,
    pointerEvents,
    shapeRendering,
    channels
  }, {
    ariaLabel: cariaLabel,
    fill: defaultFill = "currentColor",
    fillOpacity: defaultFillOpacity,
    stroke: defaultStroke = "none",
    strokeOpacity: defaultStrokeOpacity,
    strokeWidth: defaultStrokeWidth,
    strokeLinecap: defaultStrokeLinecap,
    strokeLinejoin: defaultStrokeLinejoin,
    strokeMiterlimit: defaultStrokeMiterlimit,
    paintOrder: defaultPaintOrder
  }) {
    if (defaultFill === null) {
      fill = null;
      fillOpacity = null;
    }
    if (defaultStroke === null) {
      stroke = null;
      strokeOpacity = null;
    }
    if (isNoneish(defaultFill)) {
      if (!isNoneish(defaultStroke) && (!isNoneish(fill) || channels?.fill)) defaultStroke = "none";
    } else {
      if (isNoneish(defaultStroke) && (!isNoneish(stroke) || channels?.stroke)) defaultFill = "none";
    }
    const [vfill, cfill] = maybeColorChannel(fill, defaultFill);
    const [vfillOpacity, cfillOpacity] = maybeNumberChannel(fillOpacity, defaultFillOpacity);
    const [vstroke, cstroke] = maybeColorChannel(stroke, defaultStroke);
    const [vstrokeOpacity, cstrokeOpacity] = maybeNumberChannel(strokeOpacity, defaultStrokeOpacity);
    const [vopacity, copacity] = maybeNumberChannel(opacity2);
    if (!isNone(cstroke)) {
      if (strokeWidth === void 0) strokeWidth = defaultStrokeWidth;
      if (strokeLinecap === void 0) strokeLinecap = defaultStrokeLinecap;
      if (strokeLinejoin === void 0) strokeLinejoin = defaultStrokeLinejoin;
      if (strokeMiterlimit === void 0 && !isRound(strokeLinejoin)) strokeMiterlimit = defaultStrokeMiterlimit;
      if (!isNone(cfill) && paintOrder === void 0) paintOrder = defaultPaintOrder;
    }
    const [vstrokeWidth, cstrokeWidth] = maybeNumberChannel(strokeWidth);
    if (defaultFill !== null) {
      mark.fill = impliedString(cfill, "currentColor");
      mark.fillOpacity = impliedNumber(cfillOpacity, 1);
    }
    if (defaultStroke !== null) {
      mark.stroke = impliedString(cstroke, "none");
      mark.strokeWidth = impliedNumber(cstrokeWidth, 1);
      mark.strokeOpacity = impliedNumber(cstrokeOpacity, 1);
      mark.strokeLinejoin = impliedString(strokeLinejoin, "miter");
      mark.strokeLinecap = impliedString(strokeLinecap, "butt");
      mark.strokeMiterlimit = impliedNumber(strokeMiterlimit, 4);
      mark.strokeDasharray = impliedString(strokeDasharray, "none");
      mark.strokeDashoffset = impliedString(strokeDashoffset, "0");
    }
    mark.target = string2(target);
    mark.ariaLabel = string2(cariaLabel);
    mark.ariaDescription = string2(ariaDescription);
    mark.ariaHidden = string2(ariaHidden);
    mark.opacity = impliedNumber(copacity, 1);
    mark.mixBlendMode = impliedString(mixBlendMode, "normal");
    mark.imageFilter = impliedString(imageFilter, "none");
    mark.paintOrder = impliedString(paintOrder, "normal");
    mark.pointerEvents = impliedString(pointerEvents, "auto");
    mark.shapeRendering = impliedString(shapeRendering, "auto");
    return {
      title: { value: title, optional: true, filter: null },
      href: { value: href, optional: true, filter: null },
      ariaLabel: { value: variaLabel, optional: true, filter: null },
      fill: { value: vfill, scale: "auto", optional: true },
      fillOpacity: { value: vfillOpacity, scale: "auto", optional: true },
      stroke: { value: vstroke, scale: "auto", optional: true },
      strokeOpacity: { value: vstrokeOpacity, scale: "auto", optional: true },
      strokeWidth: { value: vstrokeWidth, optional: true },
      opacity: { value: vopacity, scale: "auto", optional: true }
    };
  }
  function applyTitle(selection2, L) {
    if (L)
      selection2.filter((i) => nonempty(L[i])).append("title").call(applyText, L);
  }
  function applyTitleGroup(selection2, L) {
    if (L)
      selection2.filter(([i]) => nonempty(L[i])).append("title").call(applyTextGroup, L);
  }
  function applyText(selection2, T2) {
    if (T2) selection2.text((i) => formatDefault(T2[i]));
  }
  function applyTextGroup(selection2, T2) {
    if (T2) selection2.text(([i]) => formatDefault(T2[i]));
  }
  function applyChannelStyles(selection2, { target, tip: tip2 }, {
    ariaLabel: AL,
    title: T2,
    fill: F,
    fillOpacity: FO,
    stroke: S2,
    strokeOpacity: SO,
    strokeWidth: SW,
    opacity: O,
    href: H2
  }) {
    if (AL) applyAttr(selection2, "aria-label", (i) => AL[i]);
    if (F) applyAttr(selection2, "fill", (i) => F[i]);
    if (FO) applyAttr(selection2, "fill-opacity", (i) => FO[i]);
    if (S2) applyAttr(selection2, "stroke", (i) => S2[i]);
    if (SO) applyAttr(selection2, "stroke-opacity", (i) => SO[i]);
    if (SW) applyAttr(selection2, "stroke-width", (i) => SW[i]);
    if (O) applyAttr(selection2, "opacity", (i) => O[i]);
    if (H2) applyHref(selection2, (i) => H2[i], target);
    if (!tip2) applyTitle(selection2, T2);
  }
  function applyGroupedChannelStyles(selection2, { target, tip: tip2 }, {
    ariaLabel: AL,
    title: T2,
    fill: F,
    fillOpacity: FO,
    stroke: S2,
    strokeOpacity: SO,
    strokeWidth: SW,
    opacity: O,
    href: H2
  }) {
    if (AL) applyAttr(selection2, "aria-label", ([i]) => AL[i]);
    if (F) applyAttr(selection2, "fill", ([i]) => F[i]);
    if (FO) applyAttr(selection2, "fill-opacity", ([i]) => FO[i]);
    if (S2) applyAttr(selection2, "stroke", ([i]) => S2[i]);
    if (SO) applyAttr(selection2, "stroke-opacity", ([i]) => SO[i]);
    if (SW) applyAttr(selection2, "stroke-width", ([i]) => SW[i]);
    if (O) applyAttr(selection2, "opacity", ([i]) => O[i]);
    if (H2) applyHref(selection2, ([i]) => H2[i], target);
    if (!tip2) applyTitleGroup(selection2, T2);
  }
  function groupAesthetics({
    ariaLabel: AL,
    title: T2,
    fill: F,
    fillOpacity: FO,
    stroke: S2,
    strokeOpacity: SO,
    strokeWidth: SW,
    opacity: O,
    href: H2
  }, { tip: tip2 }) {
    return [AL, tip2 ? void 0 : T2, F, FO, S2, SO, SW, O, H2].filter((c3) => c3 !== void 0);
  }
  function groupZ(I, Z3, z2) {
    const G = group(I, (i) => Z3[i]);
    if (z2 === void 0 && G.size > 1 + I.length >> 1) {
      warn(
        `Warning: the implicit z channel has high cardinality. This may occur when the fill or stroke channel is associated with quantitative data rather than ordinal or categorical data. You can suppress this warning by setting the z option explicitly; if this data represents a single series, set z to null.`
      );
    }
    return G.values();
  }
  function* groupIndex(I, position3, mark, channels) {
    const { z: z2 } = mark;
    const { z: Z3 } = channels;
    const A6 = groupAesthetics(channels, mark);
    const C2 = [...position3, ...A6];
    for (const G of Z3 ? groupZ(I, Z3, z2) : [I]) {
      let Ag;
      let Gg;
      out: for (const i of G) {
        for (const c3 of C2) {
          if (!defined(c3[i])) {
            if (Gg) Gg.push(-1);
            continue out;
          }
        }
        if (Ag === void 0) {
          if (Gg) yield Gg;
          Ag = A6.map((c3) => keyof2(c3[i])), Gg = [i];
          continue;
        }
        Gg.push(i);
        for (let j = 0; j < A6.length; ++j) {
          const k2 = keyof2(A6[j][i]);
          if (k2 !== Ag[j]) {
            yield Gg;
            Ag = A6.map((c3) => keyof2(c3[i])), Gg = [i];
            continue out;
          }
        }
      }
      if (Gg) yield Gg;
    }
  }
  function applyClip(selection2, mark, dimensions, context) {
    let clipUrl;
    const { clip: clip2 = context.clip } = mark;
    if (clip2 === "frame") {
      selection2 = create("svg:g", context).each(function() {
        this.appendChild(selection2.node());
        selection2.node = () => this;
      });
      clipUrl = getFrameClip(context, dimensions);
    } else if (clip2) {
      clipUrl = getGeoClip(clip2, context);
    }
    applyAttr(selection2, "aria-label", mark.ariaLabel);
    applyAttr(selection2, "aria-description", mark.ariaDescription);
    applyAttr(selection2, "aria-hidden", mark.ariaHidden);
    applyAttr(selection2, "clip-path", clipUrl);
  }
  function memoizeClip(clip2) {
    const cache = /* @__PURE__ */ new WeakMap();
    return (context, dimensions) => {
      let url = cache.get(context);
      if (!url) {
        const id = getClipId();
        select(context.ownerSVGElement).append("clipPath").attr("id", id).call(clip2, context, dimensions);
        cache.set(context, url = `url(#${id})`);
      }
      return url;
    };
  }
  var getFrameClip = memoizeClip((clipPath, context, dimensions) => {
    const { width, height, marginLeft, marginRight, marginTop, marginBottom } = dimensions;
    clipPath.append("rect").attr("x", marginLeft).attr("y", marginTop).attr("width", width - marginRight - marginLeft).attr("height", height - marginTop - marginBottom);
  });
  var geoClipCache = /* @__PURE__ */ new WeakMap();
  var sphere = { type: "Sphere" };
  function getGeoClip(geo, context) {
    let cache, url;
    if (!(cache = geoClipCache.get(context))) geoClipCache.set(context, cache = /* @__PURE__ */ new WeakMap());
    if (geo.type === "Sphere") geo = sphere;
    if (!(url = cache.get(geo))) {
      const id = getClipId();
      select(context.ownerSVGElement).append("clipPath").attr("id", id).append("path").attr("d", context.path()(geo));
      cache.set(geo, url = `url(#${id})`);
    }
    return url;
  }
  function applyIndirectStyles(selection2, mark, dimensions, context) {
    applyClip(selection2, mark, dimensions, context);
    applyAttr(selection2, "class", mark.className);
    applyAttr(selection2, "fill", mark.fill);
    applyAttr(selection2, "fill-opacity", mark.fillOpacity);
    applyAttr(selection2, "stroke", mark.stroke);
    applyAttr(selection2, "stroke-width", mark.strokeWidth);
    applyAttr(selection2, "stroke-opacity", mark.strokeOpacity);
    applyAttr(selection2, "stroke-linejoin", mark.strokeLinejoin);
    applyAttr(selection2, "stroke-linecap", mark.strokeLinecap);
    applyAttr(selection2, "stroke-miterlimit", mark.strokeMiterlimit);
    applyAttr(selection2, "stroke-dasharray", mark.strokeDasharray);
    applyAttr(selection2, "stroke-dashoffset", mark.strokeDashoffset);
    applyAttr(selection2, "shape-rendering", mark.shapeRendering);
    applyAttr(selection2, "filter", mark.imageFilter);
    applyAttr(selection2, "paint-order", mark.paintOrder);
    const { pointerEvents = context.pointerSticky === false ? "none" : void 0 } = mark;
    applyAttr(selection2, "pointer-events", pointerEvents);
  }
  function applyDirectStyles(selection2, mark) {
    applyStyle(selection2, "mix-blend-mode", mark.mixBlendMode);
    applyAttr(selection2, "opacity", mark.opacity);
  }
  function applyHref(selection2, href, target) {
    selection2.each(function(i) {
      const h2 = href(i);
      if (h2 != null) {
        const a2 = this.ownerDocument.createElementNS(namespaces.svg, "a");
        a2.setAttribute("fill", "inherit");
        a2.setAttributeNS(namespaces.xlink, "href", h2);
        if (target != null) a2.setAttribute("target", target);
        this.parentNode.insertBefore(a2, this).appendChild(this);
      }
    });
  }
  function applyAttr(selection2, name, value2) {
    if (value2 != null) selection2.attr(name, value2);
  }
  function applyStyle(selection2, name, value2) {
    if (value2 != null) selection2.style(name, value2);
  }
  function applyTransform(selection2, mark, { x: x2, y: y2 }, tx = offset, ty = offset) {
    tx += mark.dx;
    ty += mark.dy;
    if (x2?.bandwidth) tx += x2.bandwidth() / 2;
    if (y2?.bandwidth) ty += y2.bandwidth() / 2;
    if (tx || ty) selection2.attr("transform", `translate(${tx},${ty})`);
  }
  function impliedString(value2, impliedValue) {
    if ((value2 = string2(value2)) !== impliedValue) return value2;
  }
  function impliedNumber(value2, impliedValue) {
    if ((value2 = number5(value2)) !== impliedValue) return value2;
  }
  var validClassName = /^-?([_a-z]|[\240-\377]|\\[0-9a-f]{1,6}(\r\n|[ \t\r\n\f])?|\\[^\r\n\f0-9a-f])([_a-z0-9-]|[\240-\377]|\\[0-9a-f]{1,6}(\r\n|[ \t\r\n\f])?|\\[^\r\n\f0-9a-f])*$/i;
  function maybeClassName(name) {
    if (name === void 0) return "plot-d6a7b5";
    name = `${name}`;
    if (!validClassName.test(name)) throw new Error(`invalid class name: ${name}`);
    return name;
  }
  function applyInlineStyles(selection2, style) {
    if (typeof style === "string") {
      selection2.property("style", style);
    } else if (style != null) {
      for (const element of selection2) {
        Object.assign(element.style, style);
      }
    }
  }
  function applyFrameAnchor({ frameAnchor }, { width, height, marginTop, marginRight, marginBottom, marginLeft }) {
    return [
      /left$/.test(frameAnchor) ? marginLeft : /right$/.test(frameAnchor) ? width - marginRight : (marginLeft + width - marginRight) / 2,
      /^top/.test(frameAnchor) ? marginTop : /^bottom/.test(frameAnchor) ? height - marginBottom : (marginTop + height - marginBottom) / 2
    ];
  }

  // node_modules/@observablehq/plot/src/mark.js
  var Mark = class {
    constructor(data, channels = {}, options = {}, defaults10) {
      const {
        facet = "auto",
        facetAnchor,
        fx,
        fy,
        sort: sort3,
        dx = 0,
        dy = 0,
        margin = 0,
        marginTop = margin,
        marginRight = margin,
        marginBottom = margin,
        marginLeft = margin,
        className,
        clip: clip2 = defaults10?.clip,
        channels: extraChannels,
        tip: tip2,
        render
      } = options;
      this.data = data;
      this.sort = isDomainSort(sort3) ? sort3 : null;
      this.initializer = initializer(options).initializer;
      this.transform = this.initializer ? options.transform : basic(options).transform;
      if (facet === null || facet === false) {
        this.facet = null;
      } else {
        this.facet = keyword(facet === true ? "include" : facet, "facet", ["auto", "include", "exclude", "super"]);
        this.fx = data === singleton && typeof fx === "string" ? [fx] : fx;
        this.fy = data === singleton && typeof fy === "string" ? [fy] : fy;
      }
      this.facetAnchor = maybeFacetAnchor(facetAnchor);
      channels = maybeNamed(channels);
      if (extraChannels !== void 0) channels = { ...maybeChannels(extraChannels), ...channels };
      if (defaults10 !== void 0) channels = { ...styles(this, options, defaults10), ...channels };
      this.channels = Object.fromEntries(
        Object.entries(channels).map(([name, channel]) => {
          if (isOptions(channel.value)) {
            const { value: value2, label = channel.label, scale = channel.scale } = channel.value;
            channel = { ...channel, label, scale, value: value2 };
          }
          if (data === singleton && typeof channel.value === "string") {
            const { value: value2 } = channel;
            channel = { ...channel, value: [value2] };
          }
          return [name, channel];
        }).filter(([name, { value: value2, optional }]) => {
          if (value2 != null) return true;
          if (optional) return false;
          throw new Error(`missing channel value: ${name}`);
        })
      );
      this.dx = +dx;
      this.dy = +dy;
      this.marginTop = +marginTop;
      this.marginRight = +marginRight;
      this.marginBottom = +marginBottom;
      this.marginLeft = +marginLeft;
      this.clip = maybeClip(clip2);
      this.tip = maybeTip(tip2);
      this.className = string2(className);
      if (this.facet === "super") {
        if (fx || fy) throw new Error(`super-faceting cannot use fx or fy`);
        for (const name in this.channels) {
          const { scale } = channels[name];
          if (scale !== "x" && scale !== "y") continue;
          throw new Error(`super-faceting cannot use x or y`);
        }
      }
      if (render != null) {
        this.render = composeRender(render, this.render);
      }
    }
    initialize(facets, facetChannels, plotOptions) {
      let data = dataify(this.data);
      if (facets === void 0 && data != null) facets = [range2(data)];
      const originalFacets = facets;
      if (this.transform != null) ({ facets, data } = this.transform(data, facets, plotOptions)), data = dataify(data);
      if (facets !== void 0) facets.original = originalFacets;
      const channels = createChannels(this.channels, data);
      if (this.sort != null) channelDomain(data, facets, channels, facetChannels, this.sort);
      return { data, facets, channels };
    }
    filter(index2, channels, values2) {
      for (const name in channels) {
        const { filter: filter2 = defined } = channels[name];
        if (filter2 !== null) {
          const value2 = values2[name];
          index2 = index2.filter((i) => filter2(value2[i]));
        }
      }
      return index2;
    }
    // If there is a projection, and there are paired x and y channels associated
    // with the x and y scale respectively (and not already in screen coordinates
    // as with an initializer), then apply the projection, replacing the x and y
    // values. Note that the x and y scales themselves don’t exist if there is a
    // projection, but whether the channels are associated with scales still
    // determines whether the projection should apply; think of the projection as
    // a combination xy-scale.
    project(channels, values2, context) {
      for (const cx in channels) {
        if (channels[cx].scale === "x" && /^x|x$/.test(cx)) {
          const cy = cx.replace(/^x|x$/, "y");
          if (cy in channels && channels[cy].scale === "y") {
            project(cx, cy, values2, context.projection);
          }
        }
      }
    }
    scale(channels, scales, context) {
      const values2 = valueObject(channels, scales);
      if (context.projection) this.project(channels, values2, context);
      return values2;
    }
  };
  function marks(...marks2) {
    marks2.plot = Mark.prototype.plot;
    return marks2;
  }
  function composeRender(r1, r2) {
    if (r1 == null) return r2 === null ? void 0 : r2;
    if (r2 == null) return r1 === null ? void 0 : r1;
    if (typeof r1 !== "function") throw new TypeError(`invalid render transform: ${r1}`);
    if (typeof r2 !== "function") throw new TypeError(`invalid render transform: ${r2}`);
    return function(i, s3, v, d, c3, next) {
      return r1.call(this, i, s3, v, d, c3, (i2, s4, v2, d2, c4) => {
        return r2.call(this, i2, s4, v2, d2, c4, next);
      });
    };
  }
  function maybeChannels(channels) {
    return Object.fromEntries(
      Object.entries(maybeNamed(channels)).map(([name, channel]) => {
        channel = typeof channel === "string" ? { value: channel, label: name } : maybeValue(channel);
        if (channel.filter === void 0 && channel.scale == null) channel = { ...channel, filter: null };
        return [name, channel];
      })
    );
  }
  function maybeTip(tip2) {
    return tip2 === true ? "xy" : tip2 === false || tip2 == null ? null : typeof tip2 === "string" ? keyword(tip2, "tip", ["x", "y", "xy"]) : tip2;
  }
  function withTip(options, pointer3) {
    return options?.tip === true ? { ...options, tip: pointer3 } : isObject(options?.tip) && options.tip.pointer === void 0 ? { ...options, tip: { ...options.tip, pointer: pointer3 } } : options;
  }

  // node_modules/@observablehq/plot/src/dimensions.js
  function createDimensions(scales, marks2, options = {}) {
    let marginTopDefault = 0.5 - offset, marginRightDefault = 0.5 + offset, marginBottomDefault = 0.5 + offset, marginLeftDefault = 0.5 - offset;
    for (const { marginTop: marginTop2, marginRight: marginRight2, marginBottom: marginBottom2, marginLeft: marginLeft2 } of marks2) {
      if (marginTop2 > marginTopDefault) marginTopDefault = marginTop2;
      if (marginRight2 > marginRightDefault) marginRightDefault = marginRight2;
      if (marginBottom2 > marginBottomDefault) marginBottomDefault = marginBottom2;
      if (marginLeft2 > marginLeftDefault) marginLeftDefault = marginLeft2;
    }
    let {
      margin,
      marginTop = margin !== void 0 ? margin : marginTopDefault,
      marginRight = margin !== void 0 ? margin : marginRightDefault,
      marginBottom = margin !== void 0 ? margin : marginBottomDefault,
      marginLeft = margin !== void 0 ? margin : marginLeftDefault
    } = options;
    marginTop = +marginTop;
    marginRight = +marginRight;
    marginBottom = +marginBottom;
    marginLeft = +marginLeft;
    let {
      width = 640,
      height = autoHeight(scales, options, {
        width,
        marginTopDefault,
        marginRightDefault,
        marginBottomDefault,
        marginLeftDefault
      }) + Math.max(0, marginTop - marginTopDefault + marginBottom - marginBottomDefault)
    } = options;
    width = +width;
    height = +height;
    const dimensions = {
      width,
      height,
      marginTop,
      marginRight,
      marginBottom,
      marginLeft
    };
    if (scales.fx || scales.fy) {
      let {
        margin: facetMargin,
        marginTop: facetMarginTop = facetMargin !== void 0 ? facetMargin : marginTop,
        marginRight: facetMarginRight = facetMargin !== void 0 ? facetMargin : marginRight,
        marginBottom: facetMarginBottom = facetMargin !== void 0 ? facetMargin : marginBottom,
        marginLeft: facetMarginLeft = facetMargin !== void 0 ? facetMargin : marginLeft
      } = options.facet ?? {};
      facetMarginTop = +facetMarginTop;
      facetMarginRight = +facetMarginRight;
      facetMarginBottom = +facetMarginBottom;
      facetMarginLeft = +facetMarginLeft;
      dimensions.facet = {
        marginTop: facetMarginTop,
        marginRight: facetMarginRight,
        marginBottom: facetMarginBottom,
        marginLeft: facetMarginLeft
      };
    }
    return dimensions;
  }
  function autoHeight({ x: x2, y: y2, fy, fx }, { projection: projection3, aspectRatio }, { width, marginTopDefault, marginRightDefault, marginBottomDefault, marginLeftDefault }) {
    const nfy = fy ? fy.scale.domain().length || 1 : 1;
    const ar2 = projectionAspectRatio(projection3);
    if (ar2) {
      const nfx = fx ? fx.scale.domain().length : 1;
      const far = (1.1 * nfy - 0.1) / (1.1 * nfx - 0.1) * ar2;
      const lar = Math.max(0.1, Math.min(10, far));
      return Math.round((width - marginLeftDefault - marginRightDefault) * lar + marginTopDefault + marginBottomDefault);
    }
    const ny = y2 ? isOrdinalScale(y2) ? y2.scale.domain().length || 1 : Math.max(7, 17 / nfy) : 1;
    if (aspectRatio != null) {
      aspectRatio = +aspectRatio;
      if (!(isFinite(aspectRatio) && aspectRatio > 0)) throw new Error(`invalid aspectRatio: ${aspectRatio}`);
      const ratio = aspectRatioLength("y", y2) / (aspectRatioLength("x", x2) * aspectRatio);
      const fxb = fx ? fx.scale.bandwidth() : 1;
      const fyb = fy ? fy.scale.bandwidth() : 1;
      const w = fxb * (width - marginLeftDefault - marginRightDefault) - x2.insetLeft - x2.insetRight;
      return (ratio * w + y2.insetTop + y2.insetBottom) / fyb + marginTopDefault + marginBottomDefault;
    }
    return !!(y2 || fy) * Math.max(1, Math.min(60, ny * nfy)) * 20 + !!fx * 30 + 60;
  }
  function aspectRatioLength(k2, scale) {
    if (!scale) throw new Error(`aspectRatio requires ${k2} scale`);
    const { type, domain } = scale;
    let transform2;
    switch (type) {
      case "linear":
      case "utc":
      case "time":
        transform2 = Number;
        break;
      case "pow": {
        const exponent2 = scale.scale.exponent();
        transform2 = (x2) => Math.pow(x2, exponent2);
        break;
      }
      case "log":
        transform2 = Math.log;
        break;
      case "point":
      case "band":
        return domain.length;
      default:
        throw new Error(`unsupported ${k2} scale for aspectRatio: ${type}`);
    }
    const [min3, max2] = extent(domain);
    return Math.abs(transform2(max2) - transform2(min3));
  }

  // node_modules/@observablehq/plot/src/interactions/pointer.js
  var states = /* @__PURE__ */ new WeakMap();
  function pointerK(kx2, ky2, { x: x2, y: y2, px, py, maxRadius = 40, channels, render, ...options } = {}) {
    maxRadius = +maxRadius;
    if (px != null) x2 ??= null, channels = { ...channels, px: { value: px, scale: "x" } };
    if (py != null) y2 ??= null, channels = { ...channels, py: { value: py, scale: "y" } };
    return {
      x: x2,
      y: y2,
      channels,
      ...options,
      // Unlike other composed transforms, the render transform must be the
      // outermost render function because it will re-render dynamically in
      // response to pointer events.
      render: composeRender(function(index2, scales, values2, dimensions, context, next) {
        context = { ...context, pointerSticky: false };
        const svg = context.ownerSVGElement;
        const { data } = context.getMarkState(this);
        let state2 = states.get(svg);
        if (!state2) states.set(svg, state2 = { sticky: false, roots: [], renders: [] });
        let renderIndex = state2.renders.push(render2) - 1;
        const { x: x3, y: y3, fx, fy } = scales;
        let tx = fx ? fx(index2.fx) - dimensions.marginLeft : 0;
        let ty = fy ? fy(index2.fy) - dimensions.marginTop : 0;
        if (x3?.bandwidth) tx += x3.bandwidth() / 2;
        if (y3?.bandwidth) ty += y3.bandwidth() / 2;
        const faceted = index2.fi != null;
        let facetState;
        if (faceted) {
          let facetStates = state2.facetStates;
          if (!facetStates) state2.facetStates = facetStates = /* @__PURE__ */ new Map();
          facetState = facetStates.get(this);
          if (!facetState) facetStates.set(this, facetState = /* @__PURE__ */ new Map());
        }
        const [cx, cy] = applyFrameAnchor(this, dimensions);
        const { px: PX, py: PY } = values2;
        const px2 = PX ? (i2) => PX[i2] : anchorX(values2, cx);
        const py2 = PY ? (i2) => PY[i2] : anchorY(values2, cy);
        let i;
        let g;
        let s3;
        let f;
        function update(ii, ri) {
          if (faceted) {
            if (f) f = cancelAnimationFrame(f);
            if (ii == null) facetState.delete(index2.fi);
            else {
              facetState.set(index2.fi, ri);
              f = requestAnimationFrame(() => {
                f = null;
                for (const [fi, r] of facetState) {
                  if (r < ri || r === ri && fi < index2.fi) {
                    ii = null;
                    break;
                  }
                }
                render2(ii);
              });
              return;
            }
          }
          render2(ii);
        }
        function render2(ii) {
          if (i === ii && s3 === state2.sticky) return;
          i = ii;
          s3 = context.pointerSticky = state2.sticky;
          const I = i == null ? [] : [i];
          if (faceted) I.fx = index2.fx, I.fy = index2.fy, I.fi = index2.fi;
          const r = next(I, scales, values2, dimensions, context);
          if (g) {
            if (faceted) {
              const p = g.parentNode;
              const ft2 = g.getAttribute("transform");
              const mt = r.getAttribute("transform");
              ft2 ? r.setAttribute("transform", ft2) : r.removeAttribute("transform");
              mt ? p.setAttribute("transform", mt) : p.removeAttribute("transform");
              r.removeAttribute("aria-label");
              r.removeAttribute("aria-description");
              r.removeAttribute("aria-hidden");
            }
            g.replaceWith(r);
          }
          state2.roots[renderIndex] = g = r;
          if (!(i == null && facetState?.size > 1)) {
            const value2 = i == null ? null : isArray(data) ? data[i] : data.get(i);
            context.dispatchValue(value2);
          }
          return r;
        }
        function pointermove(event) {
          if (state2.sticky || event.pointerType === "mouse" && event.buttons === 1) return;
          let [xp, yp] = pointer(event);
          xp -= tx, yp -= ty;
          const kpx = xp < dimensions.marginLeft || xp > dimensions.width - dimensions.marginRight ? 1 : kx2;
          const kpy = yp < dimensions.marginTop || yp > dimensions.height - dimensions.marginBottom ? 1 : ky2;
          let ii = null;
          let ri = maxRadius * maxRadius;
          for (const j of index2) {
            const dx = kpx * (px2(j) - xp);
            const dy = kpy * (py2(j) - yp);
            const rj = dx * dx + dy * dy;
            if (rj <= ri) ii = j, ri = rj;
          }
          if (ii != null && (kx2 !== 1 || ky2 !== 1)) {
            const dx = px2(ii) - xp;
            const dy = py2(ii) - yp;
            ri = dx * dx + dy * dy;
          }
          update(ii, ri);
        }
        function pointerdown(event) {
          if (event.pointerType !== "mouse") return;
          if (i == null) return;
          if (state2.sticky && state2.roots.some((r) => r?.contains(event.target))) return;
          if (state2.sticky) state2.sticky = false, state2.renders.forEach((r) => r(null));
          else state2.sticky = true, render2(i);
          event.stopImmediatePropagation();
        }
        function pointerleave(event) {
          if (event.pointerType !== "mouse") return;
          if (!state2.sticky) update(null);
        }
        svg.addEventListener("pointerenter", pointermove);
        svg.addEventListener("pointermove", pointermove);
        svg.addEventListener("pointerdown", pointerdown);
        svg.addEventListener("pointerleave", pointerleave);
        return render2(null);
      }, render)
    };
  }
  function pointer2(options) {
    return pointerK(1, 1, options);
  }
  function pointerX(options) {
    return pointerK(1, 0.01, options);
  }
  function pointerY(options) {
    return pointerK(0.01, 1, options);
  }
  function anchorX({ x1: X12, x2: X22, x: X3 = X12 }, cx) {
    return X12 && X22 ? (i) => (X12[i] + X22[i]) / 2 : X3 ? (i) => X3[i] : () => cx;
  }
  function anchorY({ y1: Y12, y2: Y22, y: Y3 = Y12 }, cy) {
    return Y12 && Y22 ? (i) => (Y12[i] + Y22[i]) / 2 : Y3 ? (i) => Y3[i] : () => cy;
  }

  // node_modules/@observablehq/plot/src/axes.js
  function inferFontVariant(scale) {
    return isOrdinalScale(scale) && scale.interval === void 0 ? void 0 : "tabular-nums";
  }

  // node_modules/@observablehq/plot/src/legends/ramp.js
  function legendRamp(color3, options) {
    let {
      label = color3.label,
      tickSize = 6,
      width = 240,
      height = 44 + tickSize,
      marginTop = 18,
      marginRight = 0,
      marginBottom = 16 + tickSize,
      marginLeft = 0,
      style,
      ticks: ticks2 = (width - marginLeft - marginRight) / 64,
      tickFormat: tickFormat2,
      fontVariant = inferFontVariant(color3),
      round: round2 = true,
      opacity: opacity2,
      className
    } = options;
    const context = createContext(options);
    className = maybeClassName(className);
    opacity2 = maybeNumberChannel(opacity2)[1];
    if (tickFormat2 === null) tickFormat2 = () => null;
    const svg = create("svg", context).attr("class", `${className}-ramp`).attr("font-family", "system-ui, sans-serif").attr("font-size", 10).attr("width", width).attr("height", height).attr("viewBox", `0 0 ${width} ${height}`).call(
      (svg2) => (
        // Warning: if you edit this, change defaultClassName.
        svg2.append("style").text(
          `:where(.${className}-ramp) {
  display: block;
  height: auto;
  height: intrinsic;
  max-width: 100%;
  overflow: visible;
}
:where(.${className}-ramp text) {
  white-space: pre;
}`
        )
      )
    ).call(applyInlineStyles, style);
    let tickAdjust = (g) => g.selectAll(".tick line").attr("y1", marginTop + marginBottom - height);
    let x2;
    const applyRange = round2 ? (x3, range4) => x3.rangeRound(range4) : (x3, range4) => x3.range(range4);
    const { type, domain, range: range3, interpolate, scale, pivot } = color3;
    if (interpolate) {
      const interpolator = range3 === void 0 ? interpolate : piecewise(interpolate.length === 1 ? interpolatePiecewise(interpolate) : interpolate, range3);
      x2 = applyRange(
        scale.copy(),
        quantize(
          number3(marginLeft, width - marginRight),
          Math.min(domain.length + (pivot !== void 0), range3 === void 0 ? Infinity : range3.length)
        )
      );
      const n = 256;
      const canvas = context.document.createElement("canvas");
      canvas.width = n;
      canvas.height = 1;
      const context2 = canvas.getContext("2d");
      for (let i = 0, j = n - 1; i < n; ++i) {
        context2.fillStyle = interpolator(i / j);
        context2.fillRect(i, 0, 1, 1);
      }
      svg.append("image").attr("opacity", opacity2).attr("x", marginLeft).attr("y", marginTop).attr("width", width - marginLeft - marginRight).attr("height", height - marginTop - marginBottom).attr("preserveAspectRatio", "none").attr("xlink:href", canvas.toDataURL());
    } else if (type === "threshold") {
      const thresholds = domain;
      const thresholdFormat = tickFormat2 === void 0 ? (d) => d : typeof tickFormat2 === "string" ? format(tickFormat2) : tickFormat2;
      x2 = applyRange(linear2().domain([-1, range3.length - 1]), [marginLeft, width - marginRight]);
      svg.append("g").attr("fill-opacity", opacity2).selectAll().data(range3).enter().append("rect").attr("x", (d, i) => x2(i - 1)).attr("y", marginTop).attr("width", (d, i) => x2(i) - x2(i - 1)).attr("height", height - marginTop - marginBottom).attr("fill", (d) => d);
      ticks2 = map2(thresholds, (_, i) => i);
      tickFormat2 = (i) => thresholdFormat(thresholds[i], i);
    } else {
      x2 = applyRange(band().domain(domain), [marginLeft, width - marginRight]);
      svg.append("g").attr("fill-opacity", opacity2).selectAll().data(domain).enter().append("rect").attr("x", x2).attr("y", marginTop).attr("width", Math.max(0, x2.bandwidth() - 1)).attr("height", height - marginTop - marginBottom).attr("fill", scale);
      tickAdjust = () => {
      };
    }
    svg.append("g").attr("transform", `translate(0,${height - marginBottom})`).call(
      axisBottom(x2).ticks(Array.isArray(ticks2) ? null : ticks2, typeof tickFormat2 === "string" ? tickFormat2 : void 0).tickFormat(typeof tickFormat2 === "function" ? tickFormat2 : void 0).tickSize(tickSize).tickValues(Array.isArray(ticks2) ? ticks2 : null)
    ).attr("font-size", null).attr("font-family", null).attr("font-variant", impliedString(fontVariant, "normal")).call(tickAdjust).call((g) => g.select(".domain").remove());
    if (label !== void 0) {
      svg.append("text").attr("x", marginLeft).attr("y", marginTop - 6).attr("fill", "currentColor").attr("font-weight", "bold").text(label);
    }
    return svg.node();
  }

  // node_modules/@observablehq/plot/src/math.js
  var radians3 = Math.PI / 180;

  // node_modules/@observablehq/plot/src/marker.js
  function markers(mark, { marker, markerStart = marker, markerMid = marker, markerEnd = marker } = {}) {
    mark.markerStart = maybeMarker(markerStart);
    mark.markerMid = maybeMarker(markerMid);
    mark.markerEnd = maybeMarker(markerEnd);
  }
  function maybeMarker(marker) {
    if (marker == null || marker === false) return null;
    if (marker === true) return markerCircleFill;
    if (typeof marker === "function") return marker;
    switch (`${marker}`.toLowerCase()) {
      case "none":
        return null;
      case "arrow":
        return markerArrow("auto");
      case "arrow-reverse":
        return markerArrow("auto-start-reverse");
      case "dot":
        return markerDot;
      case "circle":
      case "circle-fill":
        return markerCircleFill;
      case "circle-stroke":
        return markerCircleStroke;
      case "tick":
        return markerTick("auto");
      case "tick-x":
        return markerTick(90);
      case "tick-y":
        return markerTick(0);
    }
    throw new Error(`invalid marker: ${marker}`);
  }
  function markerArrow(orient) {
    return (color3, context) => create("svg:marker", context).attr("viewBox", "-5 -5 10 10").attr("markerWidth", 6.67).attr("markerHeight", 6.67).attr("orient", orient).attr("fill", "none").attr("stroke", color3).attr("stroke-width", 1.5).attr("stroke-linecap", "round").attr("stroke-linejoin", "round").call((marker) => marker.append("path").attr("d", "M-1.5,-3l3,3l-3,3")).node();
  }
  function markerDot(color3, context) {
    return create("svg:marker", context).attr("viewBox", "-5 -5 10 10").attr("markerWidth", 6.67).attr("markerHeight", 6.67).attr("fill", color3).attr("stroke", "none").call((marker) => marker.append("circle").attr("r", 2.5)).node();
  }
  function markerCircleFill(color3, context) {
    return create("svg:marker", context).attr("viewBox", "-5 -5 10 10").attr("markerWidth", 6.67).attr("markerHeight", 6.67).attr("fill", color3).attr("stroke", "var(--plot-background)").attr("stroke-width", 1.5).call((marker) => marker.append("circle").attr("r", 3)).node();
  }
  function markerCircleStroke(color3, context) {
    return create("svg:marker", context).attr("viewBox", "-5 -5 10 10").attr("markerWidth", 6.67).attr("markerHeight", 6.67).attr("fill", "var(--plot-background)").attr("stroke", color3).attr("stroke-width", 1.5).call((marker) => marker.append("circle").attr("r", 3)).node();
  }
  function markerTick(orient) {
    return (color3, context) => create("svg:marker", context).attr("viewBox", "-3 -3 6 6").attr("markerWidth", 6).attr("markerHeight", 6).attr("orient", orient).attr("stroke", color3).call((marker) => marker.append("path").attr("d", "M0,-3v6")).node();
  }
  var nextMarkerId = 0;
  function applyMarkers(path2, mark, { stroke: S2 }, context) {
    return applyMarkersColor(path2, mark, S2 && ((i) => S2[i]), null, context);
  }
  function applyGroupedMarkers(path2, mark, { stroke: S2, z: Z3 }, context) {
    return applyMarkersColor(path2, mark, S2 && (([i]) => S2[i]), Z3, context);
  }
  var START = 1;
  var END = 2;
  function getGroupedOrientation(path2, Z3) {
    const O = new Uint8Array(Z3.length);
    const D3 = path2.data().filter((I) => I.length > 1);
    const n = D3.length;
    for (let i = 0, z2 = unset; i < n; ++i) {
      const I = D3[i];
      if (I.length > 1) {
        const i2 = I[0];
        if (z2 !== (z2 = keyof2(Z3[i2]))) O[i2] |= START;
      }
    }
    for (let i = n - 1, z2 = unset; i >= 0; --i) {
      const I = D3[i];
      if (I.length > 1) {
        const i2 = I[0];
        if (z2 !== (z2 = keyof2(Z3[i2]))) O[i2] |= END;
      }
    }
    return ([i]) => O[i];
  }
  function applyMarkersColor(path2, { markerStart, markerMid, markerEnd, stroke }, strokeof = () => stroke, Z3, context) {
    if (!markerStart && !markerMid && !markerEnd) return;
    const iriByMarkerColor = /* @__PURE__ */ new Map();
    const orient = Z3 && getGroupedOrientation(path2, Z3);
    function applyMarker(name, marker, filter2) {
      return function(i) {
        if (filter2 && !filter2(i)) return;
        const color3 = strokeof(i);
        let iriByColor = iriByMarkerColor.get(marker);
        if (!iriByColor) iriByMarkerColor.set(marker, iriByColor = /* @__PURE__ */ new Map());
        let iri = iriByColor.get(color3);
        if (!iri) {
          const node2 = this.parentNode.insertBefore(marker(color3, context), this);
          const id = `plot-marker-${++nextMarkerId}`;
          node2.setAttribute("id", id);
          iriByColor.set(color3, iri = `url(#${id})`);
        }
        this.setAttribute(name, iri);
      };
    }
    if (markerStart) path2.each(applyMarker("marker-start", markerStart, orient && ((i) => orient(i) & START)));
    if (markerMid && orient) path2.each(applyMarker("marker-start", markerMid, (i) => !(orient(i) & START)));
    if (markerMid) path2.each(applyMarker("marker-mid", markerMid));
    if (markerEnd) path2.each(applyMarker("marker-end", markerEnd, orient && ((i) => orient(i) & END)));
  }

  // node_modules/@observablehq/plot/src/transforms/inset.js
  function maybeInsetX({ inset, insetLeft, insetRight, ...options } = {}) {
    [insetLeft, insetRight] = maybeInset(inset, insetLeft, insetRight);
    return { inset, insetLeft, insetRight, ...options };
  }
  function maybeInsetY({ inset, insetTop, insetBottom, ...options } = {}) {
    [insetTop, insetBottom] = maybeInset(inset, insetTop, insetBottom);
    return { inset, insetTop, insetBottom, ...options };
  }
  function maybeInset(inset, inset1, inset2) {
    return inset === void 0 && inset1 === void 0 && inset2 === void 0 ? offset ? [1, 0] : [0.5, 0.5] : [inset1, inset2];
  }

  // node_modules/@observablehq/plot/src/transforms/interval.js
  function maybeIntervalValue(value2, { interval }) {
    value2 = { ...maybeValue(value2) };
    value2.interval = maybeInterval(value2.interval === void 0 ? interval : value2.interval);
    return value2;
  }
  function maybeIntervalK(k2, maybeInsetK, options, trivial) {
    const { [k2]: v, [`${k2}1`]: v1, [`${k2}2`]: v2 } = options;
    const { value: value2, interval } = maybeIntervalValue(v, options);
    if (value2 == null || interval == null && !trivial) return options;
    const label = labelof(v);
    if (interval == null) {
      let V2;
      const kv = { transform: (data) => V2 || (V2 = valueof(data, value2)), label };
      return {
        ...options,
        [k2]: void 0,
        [`${k2}1`]: v1 === void 0 ? kv : v1,
        [`${k2}2`]: v2 === void 0 && !(v1 === v2 && trivial) ? kv : v2
      };
    }
    let D1, V1;
    function transform2(data) {
      if (V1 !== void 0 && data === D1) return V1;
      return V1 = map2(valueof(D1 = data, value2), (v3) => interval.floor(v3));
    }
    return maybeInsetK({
      ...options,
      [k2]: void 0,
      [`${k2}1`]: v1 === void 0 ? { transform: transform2, label } : v1,
      [`${k2}2`]: v2 === void 0 ? { transform: (data) => transform2(data).map((v3) => interval.offset(v3)), label } : v2
    });
  }
  function maybeIntervalMidK(k2, maybeInsetK, options) {
    const { [k2]: v } = options;
    const { value: value2, interval } = maybeIntervalValue(v, options);
    if (value2 == null || interval == null) return options;
    return maybeInsetK({
      ...options,
      [k2]: {
        label: labelof(v),
        transform: (data) => {
          const V1 = map2(valueof(data, value2), (v2) => interval.floor(v2));
          const V2 = V1.map((v2) => interval.offset(v2));
          return V1.map(
            isTemporal(V1) ? (v1, v2) => v1 == null || isNaN(v1 = +v1) || (v2 = V2[v2], v2 == null) || isNaN(v2 = +v2) ? void 0 : new Date((v1 + v2) / 2) : (v1, v2) => v1 == null || (v2 = V2[v2], v2 == null) ? NaN : (+v1 + +v2) / 2
          );
        }
      }
    });
  }
  function maybeIntervalX(options = {}) {
    return maybeIntervalK("x", maybeInsetX, options);
  }
  function maybeIntervalY(options = {}) {
    return maybeIntervalK("y", maybeInsetY, options);
  }
  function maybeIntervalMidX(options = {}) {
    return maybeIntervalMidK("x", maybeInsetX, options);
  }
  function maybeIntervalMidY(options = {}) {
    return maybeIntervalMidK("y", maybeInsetY, options);
  }

  // node_modules/@observablehq/plot/src/marks/rule.js
  var defaults = {
    ariaLabel: "rule",
    fill: null,
    stroke: "currentColor"
  };
  var RuleX = class extends Mark {
    constructor(data, options = {}) {
      const { x: x2, y1: y12, y2, inset = 0, insetTop = inset, insetBottom = inset } = options;
      super(
        data,
        {
          x: { value: x2, scale: "x", optional: true },
          y1: { value: y12, scale: "y", optional: true },
          y2: { value: y2, scale: "y", optional: true }
        },
        withTip(options, "x"),
        defaults
      );
      this.insetTop = number5(insetTop);
      this.insetBottom = number5(insetBottom);
      markers(this, options);
    }
    render(index2, scales, channels, dimensions, context) {
      const { x: x2, y: y2 } = scales;
      const { x: X3, y1: Y12, y2: Y22 } = channels;
      const { width, height, marginTop, marginRight, marginLeft, marginBottom } = dimensions;
      const { insetTop, insetBottom } = this;
      return create("svg:g", context).call(applyIndirectStyles, this, dimensions, context).call(applyTransform, this, { x: X3 && x2 }, offset, 0).call(
        (g) => g.selectAll().data(index2).enter().append("line").call(applyDirectStyles, this).attr("x1", X3 ? (i) => X3[i] : (marginLeft + width - marginRight) / 2).attr("x2", X3 ? (i) => X3[i] : (marginLeft + width - marginRight) / 2).attr("y1", Y12 && !isCollapsed(y2) ? (i) => Y12[i] + insetTop : marginTop + insetTop).attr(
          "y2",
          Y22 && !isCollapsed(y2) ? y2.bandwidth ? (i) => Y22[i] + y2.bandwidth() - insetBottom : (i) => Y22[i] - insetBottom : height - marginBottom - insetBottom
        ).call(applyChannelStyles, this, channels).call(applyMarkers, this, channels, context)
      ).node();
    }
  };
  var RuleY = class extends Mark {
    constructor(data, options = {}) {
      const { x1: x12, x2, y: y2, inset = 0, insetRight = inset, insetLeft = inset } = options;
      super(
        data,
        {
          y: { value: y2, scale: "y", optional: true },
          x1: { value: x12, scale: "x", optional: true },
          x2: { value: x2, scale: "x", optional: true }
        },
        withTip(options, "y"),
        defaults
      );
      this.insetRight = number5(insetRight);
      this.insetLeft = number5(insetLeft);
      markers(this, options);
    }
    render(index2, scales, channels, dimensions, context) {
      const { x: x2, y: y2 } = scales;
      const { y: Y3, x1: X12, x2: X22 } = channels;
      const { width, height, marginTop, marginRight, marginLeft, marginBottom } = dimensions;
      const { insetLeft, insetRight } = this;
      return create("svg:g", context).call(applyIndirectStyles, this, dimensions, context).call(applyTransform, this, { y: Y3 && y2 }, 0, offset).call(
        (g) => g.selectAll().data(index2).enter().append("line").call(applyDirectStyles, this).attr("x1", X12 && !isCollapsed(x2) ? (i) => X12[i] + insetLeft : marginLeft + insetLeft).attr(
          "x2",
          X22 && !isCollapsed(x2) ? x2.bandwidth ? (i) => X22[i] + x2.bandwidth() - insetRight : (i) => X22[i] - insetRight : width - marginRight - insetRight
        ).attr("y1", Y3 ? (i) => Y3[i] : (marginTop + height - marginBottom) / 2).attr("y2", Y3 ? (i) => Y3[i] : (marginTop + height - marginBottom) / 2).call(applyChannelStyles, this, channels).call(applyMarkers, this, channels, context)
      ).node();
    }
  };
  function ruleX(data, options) {
    let { x: x2 = identity6, y: y2, y1: y12, y2: y22, ...rest } = maybeIntervalY(options);
    [y12, y22] = maybeOptionalZero(y2, y12, y22);
    return new RuleX(data, { ...rest, x: x2, y1: y12, y2: y22 });
  }
  function ruleY(data, options) {
    let { y: y2 = identity6, x: x2, x1: x12, x2: x22, ...rest } = maybeIntervalX(options);
    [x12, x22] = maybeOptionalZero(x2, x12, x22);
    return new RuleY(data, { ...rest, y: y2, x1: x12, x2: x22 });
  }
  function maybeOptionalZero(x2, x12, x22) {
    if (x2 == null) {
      if (x12 === void 0) {
        if (x22 !== void 0) return [0, x22];
      } else {
        if (x22 === void 0) return [0, x12];
      }
    } else if (x12 === void 0) {
      return x22 === void 0 ? [0, x2] : [x2, x22];
    } else if (x22 === void 0) {
      return [x2, x12];
    }
    return [x12, x22];
  }

  // node_modules/@observablehq/plot/src/template.js
  function template(strings, ...parts2) {
    let n = parts2.length;
    for (let j = 0, copy2 = true; j < n; ++j) {
      if (typeof parts2[j] !== "function") {
        if (copy2) {
          strings = strings.slice();
          copy2 = false;
        }
        strings.splice(j, 2, strings[j] + parts2[j] + strings[j + 1]);
        parts2.splice(j, 1);
        --j, --n;
      }
    }
    return (i) => {
      let s3 = strings[0];
      for (let j = 0; j < n; ++j) {
        s3 += parts2[j](i) + strings[j + 1];
      }
      return s3;
    };
  }

  // node_modules/@observablehq/plot/src/marks/text.js
  var defaults2 = {
    ariaLabel: "text",
    strokeLinejoin: "round",
    strokeWidth: 3,
    paintOrder: "stroke"
  };
  var softHyphen = "­";
  var Text = class extends Mark {
    constructor(data, options = {}) {
      const {
        x: x2,
        y: y2,
        text: text2 = isIterable(data) && isTextual(data) ? identity6 : indexOf,
        frameAnchor,
        textAnchor = /right$/i.test(frameAnchor) ? "end" : /left$/i.test(frameAnchor) ? "start" : "middle",
        lineAnchor = /^top/i.test(frameAnchor) ? "top" : /^bottom/i.test(frameAnchor) ? "bottom" : "middle",
        lineHeight = 1,
        lineWidth = Infinity,
        textOverflow,
        monospace,
        fontFamily = monospace ? "ui-monospace, monospace" : void 0,
        fontSize,
        fontStyle,
        fontVariant,
        fontWeight,
        rotate
      } = options;
      const [vrotate, crotate] = maybeNumberChannel(rotate, 0);
      const [vfontSize, cfontSize] = maybeFontSizeChannel(fontSize);
      super(
        data,
        {
          x: { value: x2, scale: "x", optional: true },
          y: { value: y2, scale: "y", optional: true },
          fontSize: { value: vfontSize, optional: true },
          rotate: { value: numberChannel(vrotate), optional: true },
          text: { value: text2, filter: nonempty, optional: true }
        },
        options,
        defaults2
      );
      this.rotate = crotate;
      this.textAnchor = impliedString(textAnchor, "middle");
      this.lineAnchor = keyword(lineAnchor, "lineAnchor", ["top", "middle", "bottom"]);
      this.lineHeight = +lineHeight;
      this.lineWidth = +lineWidth;
      this.textOverflow = maybeTextOverflow(textOverflow);
      this.monospace = !!monospace;
      this.fontFamily = string2(fontFamily);
      this.fontSize = cfontSize;
      this.fontStyle = string2(fontStyle);
      this.fontVariant = string2(fontVariant);
      this.fontWeight = string2(fontWeight);
      this.frameAnchor = maybeFrameAnchor(frameAnchor);
      if (!(this.lineWidth >= 0)) throw new Error(`invalid lineWidth: ${lineWidth}`);
      this.splitLines = splitter(this);
      this.clipLine = clipper(this);
    }
    render(index2, scales, channels, dimensions, context) {
      const { x: x2, y: y2 } = scales;
      const { x: X3, y: Y3, rotate: R, text: T2, title: TL, fontSize: FS } = channels;
      const { rotate } = this;
      const [cx, cy] = applyFrameAnchor(this, dimensions);
      return create("svg:g", context).call(applyIndirectStyles, this, dimensions, context).call(applyIndirectTextStyles, this, T2, dimensions).call(applyTransform, this, { x: X3 && x2, y: Y3 && y2 }).call(
        (g) => g.selectAll().data(index2).enter().append("text").call(applyDirectStyles, this).call(applyMultilineText, this, T2, TL).attr(
          "transform",
          template`translate(${X3 ? (i) => X3[i] : cx},${Y3 ? (i) => Y3[i] : cy})${R ? (i) => ` rotate(${R[i]})` : rotate ? ` rotate(${rotate})` : ``}`
        ).call(applyAttr, "font-size", FS && ((i) => FS[i])).call(applyChannelStyles, this, channels)
      ).node();
    }
  };
  function maybeTextOverflow(textOverflow) {
    return textOverflow == null ? null : keyword(textOverflow, "textOverflow", [
      "clip",
      // shorthand for clip-end
      "ellipsis",
      // … ellipsis-end
      "clip-start",
      "clip-end",
      "ellipsis-start",
      "ellipsis-middle",
      "ellipsis-end"
    ]).replace(/^(clip|ellipsis)$/, "$1-end");
  }
  function applyMultilineText(selection2, mark, T2, TL) {
    if (!T2) return;
    const { lineAnchor, lineHeight, textOverflow, splitLines, clipLine: clipLine2 } = mark;
    selection2.each(function(i) {
      const lines = splitLines(formatDefault(T2[i]) ?? "").map(clipLine2);
      const n = lines.length;
      const y2 = lineAnchor === "top" ? 0.71 : lineAnchor === "bottom" ? 1 - n : (164 - n * 100) / 200;
      if (n > 1) {
        let m = 0;
        for (let i2 = 0; i2 < n; ++i2) {
          ++m;
          if (!lines[i2]) continue;
          const tspan = this.ownerDocument.createElementNS(namespaces.svg, "tspan");
          tspan.setAttribute("x", 0);
          if (i2 === m - 1) tspan.setAttribute("y", `${(y2 + i2) * lineHeight}em`);
          else tspan.setAttribute("dy", `${m * lineHeight}em`);
          tspan.textContent = lines[i2];
          this.appendChild(tspan);
          m = 0;
        }
      } else {
        if (y2) this.setAttribute("y", `${y2 * lineHeight}em`);
        this.textContent = lines[0];
      }
      if (textOverflow && !TL && lines[0] !== T2[i]) {
        const title = this.ownerDocument.createElementNS(namespaces.svg, "title");
        title.textContent = T2[i];
        this.appendChild(title);
      }
    });
  }
  function text(data, { x: x2, y: y2, ...options } = {}) {
    if (options.frameAnchor === void 0) [x2, y2] = maybeTuple(x2, y2);
    return new Text(data, { ...options, x: x2, y: y2 });
  }
  function textX(data, { x: x2 = identity6, ...options } = {}) {
    return new Text(data, maybeIntervalMidY({ ...options, x: x2 }));
  }
  function textY(data, { y: y2 = identity6, ...options } = {}) {
    return new Text(data, maybeIntervalMidX({ ...options, y: y2 }));
  }
  function applyIndirectTextStyles(selection2, mark, T2) {
    applyAttr(selection2, "text-anchor", mark.textAnchor);
    applyAttr(selection2, "font-family", mark.fontFamily);
    applyAttr(selection2, "font-size", mark.fontSize);
    applyAttr(selection2, "font-style", mark.fontStyle);
    applyAttr(selection2, "font-variant", mark.fontVariant === void 0 ? inferFontVariant2(T2) : mark.fontVariant);
    applyAttr(selection2, "font-weight", mark.fontWeight);
  }
  function inferFontVariant2(T2) {
    return T2 && (isNumeric(T2) || isTemporal(T2)) ? "tabular-nums" : void 0;
  }
  var fontSizes = /* @__PURE__ */ new Set([
    // global keywords
    "inherit",
    "initial",
    "revert",
    "unset",
    // absolute keywords
    "xx-small",
    "x-small",
    "small",
    "medium",
    "large",
    "x-large",
    "xx-large",
    "xxx-large",
    // relative keywords
    "larger",
    "smaller"
  ]);
  function maybeFontSizeChannel(fontSize) {
    if (fontSize == null || typeof fontSize === "number") return [void 0, fontSize];
    if (typeof fontSize !== "string") return [fontSize, void 0];
    fontSize = fontSize.trim().toLowerCase();
    return fontSizes.has(fontSize) || /^[+-]?\d*\.?\d+(e[+-]?\d+)?(\w*|%)$/.test(fontSize) ? [void 0, fontSize] : [fontSize, void 0];
  }
  function lineWrap(input, maxWidth, widthof) {
    const lines = [];
    let lineStart, lineEnd = 0;
    for (const [wordStart, wordEnd, required] of lineBreaks(input)) {
      if (lineStart === void 0) lineStart = wordStart;
      if (lineEnd > lineStart && widthof(input, lineStart, wordEnd) > maxWidth) {
        lines.push(input.slice(lineStart, lineEnd) + (input[lineEnd - 1] === softHyphen ? "-" : ""));
        lineStart = wordStart;
      }
      if (required) {
        lines.push(input.slice(lineStart, wordEnd));
        lineStart = void 0;
        continue;
      }
      lineEnd = wordEnd;
    }
    return lines;
  }
  function* lineBreaks(input) {
    let i = 0, j = 0;
    const n = input.length;
    while (j < n) {
      let k2 = 1;
      switch (input[j]) {
        case softHyphen:
        case "-":
          ++j;
          yield [i, j, false];
          i = j;
          break;
        case " ":
          yield [i, j, false];
          while (input[++j] === " ") ;
          i = j;
          break;
        case "\r":
          if (input[j + 1] === "\n") ++k2;
        // falls through
        case "\n":
          yield [i, j, true];
          j += k2;
          i = j;
          break;
        default:
          ++j;
          break;
      }
    }
    yield [i, j, true];
  }
  var defaultWidthMap = {
    a: 56,
    b: 63,
    c: 57,
    d: 63,
    e: 58,
    f: 37,
    g: 62,
    h: 60,
    i: 26,
    j: 26,
    k: 55,
    l: 26,
    m: 88,
    n: 60,
    o: 60,
    p: 62,
    q: 62,
    r: 39,
    s: 54,
    t: 38,
    u: 60,
    v: 55,
    w: 79,
    x: 54,
    y: 55,
    z: 55,
    A: 69,
    B: 67,
    C: 73,
    D: 74,
    E: 61,
    F: 58,
    G: 76,
    H: 75,
    I: 28,
    J: 55,
    K: 67,
    L: 58,
    M: 89,
    N: 75,
    O: 78,
    P: 65,
    Q: 78,
    R: 67,
    S: 65,
    T: 65,
    U: 75,
    V: 69,
    W: 98,
    X: 69,
    Y: 67,
    Z: 67,
    0: 64,
    1: 48,
    2: 62,
    3: 64,
    4: 66,
    5: 63,
    6: 65,
    7: 58,
    8: 65,
    9: 65,
    " ": 29,
    "!": 32,
    '"': 49,
    "'": 31,
    "(": 39,
    ")": 39,
    ",": 31,
    "-": 48,
    ".": 31,
    "/": 32,
    ":": 31,
    ";": 31,
    "?": 52,
    "‘": 31,
    "’": 31,
    "“": 47,
    "”": 47,
    "…": 82
  };
  function defaultWidth(text2, start = 0, end = text2.length) {
    let sum3 = 0;
    for (let i = start; i < end; i = readCharacter(text2, i)) {
      sum3 += defaultWidthMap[text2[i]] ?? (isPictographic(text2, i) ? 120 : defaultWidthMap.e);
    }
    return sum3;
  }
  function monospaceWidth(text2, start = 0, end = text2.length) {
    let sum3 = 0;
    for (let i = start; i < end; i = readCharacter(text2, i)) {
      sum3 += isPictographic(text2, i) ? 126 : 63;
    }
    return sum3;
  }
  function splitter({ monospace, lineWidth, textOverflow }) {
    if (textOverflow != null || lineWidth == Infinity) return (text2) => text2.split(/\r\n?|\n/g);
    const widthof = monospace ? monospaceWidth : defaultWidth;
    const maxWidth = lineWidth * 100;
    return (text2) => lineWrap(text2, maxWidth, widthof);
  }
  function clipper({ monospace, lineWidth, textOverflow }) {
    if (textOverflow == null || lineWidth == Infinity) return (text2) => text2;
    const widthof = monospace ? monospaceWidth : defaultWidth;
    const maxWidth = lineWidth * 100;
    switch (textOverflow) {
      case "clip-start":
        return (text2) => clipStart(text2, maxWidth, widthof, "");
      case "clip-end":
        return (text2) => clipEnd(text2, maxWidth, widthof, "");
      case "ellipsis-start":
        return (text2) => clipStart(text2, maxWidth, widthof, ellipsis);
      case "ellipsis-middle":
        return (text2) => clipMiddle(text2, maxWidth, widthof, ellipsis);
      case "ellipsis-end":
        return (text2) => clipEnd(text2, maxWidth, widthof, ellipsis);
    }
  }
  var ellipsis = "…";
  function cut(text2, width, widthof, inset) {
    const I = [];
    let w = 0;
    for (let i = 0, j = 0, n = text2.length; i < n; i = j) {
      j = readCharacter(text2, i);
      const l = widthof(text2, i, j);
      if (w + l > width) {
        w += inset;
        while (w > width && i > 0) j = i, i = I.pop(), w -= widthof(text2, i, j);
        return [i, width - w];
      }
      w += l;
      I.push(i);
    }
    return [-1, 0];
  }
  function clipEnd(text2, width, widthof, ellipsis2) {
    text2 = text2.trim();
    const e = widthof(ellipsis2);
    const [i] = cut(text2, width, widthof, e);
    return i < 0 ? text2 : text2.slice(0, i).trimEnd() + ellipsis2;
  }
  function clipMiddle(text2, width, widthof, ellipsis2) {
    text2 = text2.trim();
    const w = widthof(text2);
    if (w <= width) return text2;
    const e = widthof(ellipsis2) / 2;
    const [i, ei] = cut(text2, width / 2, widthof, e);
    const [j] = cut(text2, w - width / 2 - ei + e, widthof, -e);
    return j < 0 ? ellipsis2 : text2.slice(0, i).trimEnd() + ellipsis2 + text2.slice(readCharacter(text2, j)).trimStart();
  }
  function clipStart(text2, width, widthof, ellipsis2) {
    text2 = text2.trim();
    const w = widthof(text2);
    if (w <= width) return text2;
    const e = widthof(ellipsis2);
    const [j] = cut(text2, w - width + e, widthof, -e);
    return j < 0 ? ellipsis2 : ellipsis2 + text2.slice(readCharacter(text2, j)).trimStart();
  }
  var reCombiner = /[\p{Combining_Mark}\p{Emoji_Modifier}]+/uy;
  var rePictographic = new RegExp("\\p{Extended_Pictographic}", "uy");
  function readCharacter(text2, i) {
    i += isSurrogatePair(text2, i) ? 2 : 1;
    if (isCombiner(text2, i)) i = reCombiner.lastIndex;
    if (isZeroWidthJoiner(text2, i)) return readCharacter(text2, i + 1);
    return i;
  }
  function isAscii(text2, i) {
    return text2.charCodeAt(i) < 128;
  }
  function isSurrogatePair(text2, i) {
    const hi = text2.charCodeAt(i);
    if (hi >= 55296 && hi < 56320) {
      const lo = text2.charCodeAt(i + 1);
      return lo >= 56320 && lo < 57344;
    }
    return false;
  }
  function isZeroWidthJoiner(text2, i) {
    return text2.charCodeAt(i) === 8205;
  }
  function isCombiner(text2, i) {
    return isAscii(text2, i) ? false : (reCombiner.lastIndex = i, reCombiner.test(text2));
  }
  function isPictographic(text2, i) {
    return isAscii(text2, i) ? false : (rePictographic.lastIndex = i, rePictographic.test(text2));
  }

  // node_modules/@observablehq/plot/src/marks/vector.js
  var defaults3 = {
    ariaLabel: "vector",
    fill: "none",
    stroke: "currentColor",
    strokeWidth: 1.5,
    strokeLinejoin: "round",
    strokeLinecap: "round"
  };
  var defaultRadius = 3.5;
  var wingRatio = defaultRadius * 5;
  var shapeArrow = {
    draw(context, l, r) {
      const wing = l * r / wingRatio;
      context.moveTo(0, 0);
      context.lineTo(0, -l);
      context.moveTo(-wing, wing - l);
      context.lineTo(0, -l);
      context.lineTo(wing, wing - l);
    }
  };
  var shapeSpike = {
    draw(context, l, r) {
      context.moveTo(-r, 0);
      context.lineTo(0, -l);
      context.lineTo(r, 0);
    }
  };
  var shapes = /* @__PURE__ */ new Map([
    ["arrow", shapeArrow],
    ["spike", shapeSpike]
  ]);
  function isShapeObject(value2) {
    return value2 && typeof value2.draw === "function";
  }
  function maybeShape(shape) {
    if (isShapeObject(shape)) return shape;
    const value2 = shapes.get(`${shape}`.toLowerCase());
    if (value2) return value2;
    throw new Error(`invalid shape: ${shape}`);
  }
  var Vector = class extends Mark {
    constructor(data, options = {}) {
      const { x: x2, y: y2, r = defaultRadius, length: length2, rotate, shape = shapeArrow, anchor = "middle", frameAnchor } = options;
      const [vl, cl] = maybeNumberChannel(length2, 12);
      const [vr2, cr2] = maybeNumberChannel(rotate, 0);
      super(
        data,
        {
          x: { value: x2, scale: "x", optional: true },
          y: { value: y2, scale: "y", optional: true },
          length: { value: vl, scale: "length", optional: true },
          rotate: { value: vr2, optional: true }
        },
        options,
        defaults3
      );
      this.r = +r;
      this.length = cl;
      this.rotate = cr2;
      this.shape = maybeShape(shape);
      this.anchor = keyword(anchor, "anchor", ["start", "middle", "end"]);
      this.frameAnchor = maybeFrameAnchor(frameAnchor);
    }
    render(index2, scales, channels, dimensions, context) {
      const { x: x2, y: y2 } = scales;
      const { x: X3, y: Y3, length: L, rotate: A6 } = channels;
      const { length: length2, rotate, anchor, shape, r } = this;
      const [cx, cy] = applyFrameAnchor(this, dimensions);
      return create("svg:g", context).call(applyIndirectStyles, this, dimensions, context).call(applyTransform, this, { x: X3 && x2, y: Y3 && y2 }).call(
        (g) => g.selectAll().data(index2).enter().append("path").call(applyDirectStyles, this).attr(
          "transform",
          template`translate(${X3 ? (i) => X3[i] : cx},${Y3 ? (i) => Y3[i] : cy})${A6 ? (i) => ` rotate(${A6[i]})` : rotate ? ` rotate(${rotate})` : ``}${anchor === "start" ? `` : anchor === "end" ? L ? (i) => ` translate(0,${L[i]})` : ` translate(0,${length2})` : L ? (i) => ` translate(0,${L[i] / 2})` : ` translate(0,${length2 / 2})`}`
        ).attr(
          "d",
          L ? (i) => {
            const p = pathRound();
            shape.draw(p, L[i], r);
            return p;
          } : (() => {
            const p = pathRound();
            shape.draw(p, length2, r);
            return p;
          })()
        ).call(applyChannelStyles, this, channels)
      ).node();
    }
  };
  function vectorX(data, options = {}) {
    const { x: x2 = identity6, ...rest } = options;
    return new Vector(data, { ...rest, x: x2 });
  }
  function vectorY(data, options = {}) {
    const { y: y2 = identity6, ...rest } = options;
    return new Vector(data, { ...rest, y: y2 });
  }

  // node_modules/@observablehq/plot/src/marks/axis.js
  function maybeData(data, options) {
    if (arguments.length < 2 && !isIterable(data)) options = data, data = null;
    if (options === void 0) options = {};
    return [data, options];
  }
  function maybeAnchor2({ anchor } = {}, anchors) {
    return anchor === void 0 ? anchors[0] : keyword(anchor, "anchor", anchors);
  }
  function anchorY2(options) {
    return maybeAnchor2(options, ["left", "right"]);
  }
  function anchorFy(options) {
    return maybeAnchor2(options, ["right", "left"]);
  }
  function anchorX2(options) {
    return maybeAnchor2(options, ["bottom", "top"]);
  }
  function anchorFx(options) {
    return maybeAnchor2(options, ["top", "bottom"]);
  }
  function axisY() {
    const [data, options] = maybeData(...arguments);
    return axisKy("y", anchorY2(options), data, options);
  }
  function axisFy() {
    const [data, options] = maybeData(...arguments);
    return axisKy("fy", anchorFy(options), data, options);
  }
  function axisX() {
    const [data, options] = maybeData(...arguments);
    return axisKx("x", anchorX2(options), data, options);
  }
  function axisFx() {
    const [data, options] = maybeData(...arguments);
    return axisKx("fx", anchorFx(options), data, options);
  }
  function axisKy(k2, anchor, data, {
    color: color3 = "currentColor",
    opacity: opacity2 = 1,
    stroke = color3,
    strokeOpacity = opacity2,
    strokeWidth = 1,
    fill = color3,
    fillOpacity = opacity2,
    textAnchor,
    textStroke,
    textStrokeOpacity,
    textStrokeWidth,
    tickSize = k2 === "y" ? 6 : 0,
    tickPadding,
    tickRotate,
    x: x2,
    margin,
    marginTop = margin === void 0 ? 20 : margin,
    marginRight = margin === void 0 ? anchor === "right" ? 40 : 0 : margin,
    marginBottom = margin === void 0 ? 20 : margin,
    marginLeft = margin === void 0 ? anchor === "left" ? 40 : 0 : margin,
    label,
    labelAnchor,
    labelArrow,
    labelOffset,
    ariaLabel = `${k2}-axis`,
    ...options
  }) {
    tickSize = number5(tickSize);
    tickPadding = number5(tickPadding);
    tickRotate = number5(tickRotate);
    if (labelAnchor !== void 0) labelAnchor = keyword(labelAnchor, "labelAnchor", ["center", "top", "bottom"]);
    labelArrow = maybeLabelArrow(labelArrow);
    return marks(
      tickSize && !isNoneish(stroke) ? axisTickKy(k2, anchor, data, {
        stroke,
        strokeOpacity,
        strokeWidth,
        tickSize,
        tickPadding,
        tickRotate,
        x: x2,
        ariaLabel,
        ...options
      }) : null,
      !isNoneish(fill) ? axisTextKy(k2, anchor, data, {
        fill,
        fillOpacity,
        stroke: textStroke,
        strokeOpacity: textStrokeOpacity,
        strokeWidth: textStrokeWidth,
        textAnchor,
        tickSize,
        tickPadding,
        tickRotate,
        x: x2,
        marginTop,
        marginRight,
        marginBottom,
        marginLeft,
        ariaLabel,
        ...options
      }) : null,
      !isNoneish(fill) && label !== null ? text(
        [],
        labelOptions({ fill, fillOpacity, ...options }, function(data2, facets, channels, scales, dimensions) {
          const scale = scales[k2];
          const { marginTop: marginTop2, marginRight: marginRight2, marginBottom: marginBottom2, marginLeft: marginLeft2 } = k2 === "y" && dimensions.inset || dimensions;
          const cla = labelAnchor ?? (scale.bandwidth ? "center" : "top");
          const clo = labelOffset ?? (anchor === "right" ? marginRight2 : marginLeft2) - 3;
          if (cla === "center") {
            this.textAnchor = void 0;
            this.lineAnchor = anchor === "right" ? "bottom" : "top";
            this.frameAnchor = anchor;
            this.rotate = -90;
          } else {
            this.textAnchor = anchor === "right" ? "end" : "start";
            this.lineAnchor = cla;
            this.frameAnchor = `${cla}-${anchor}`;
            this.rotate = 0;
          }
          this.dy = cla === "top" ? 3 - marginTop2 : cla === "bottom" ? marginBottom2 - 3 : 0;
          this.dx = anchor === "right" ? clo : -clo;
          this.ariaLabel = `${ariaLabel} label`;
          return {
            facets: [[0]],
            channels: { text: { value: [formatAxisLabel(k2, scale, { anchor, label, labelAnchor: cla, labelArrow })] } }
          };
        })
      ) : null
    );
  }
  function axisKx(k2, anchor, data, {
    color: color3 = "currentColor",
    opacity: opacity2 = 1,
    stroke = color3,
    strokeOpacity = opacity2,
    strokeWidth = 1,
    fill = color3,
    fillOpacity = opacity2,
    textAnchor,
    textStroke,
    textStrokeOpacity,
    textStrokeWidth,
    tickSize = k2 === "x" ? 6 : 0,
    tickPadding,
    tickRotate,
    y: y2,
    margin,
    marginTop = margin === void 0 ? anchor === "top" ? 30 : 0 : margin,
    marginRight = margin === void 0 ? 20 : margin,
    marginBottom = margin === void 0 ? anchor === "bottom" ? 30 : 0 : margin,
    marginLeft = margin === void 0 ? 20 : margin,
    label,
    labelAnchor,
    labelArrow,
    labelOffset,
    ariaLabel = `${k2}-axis`,
    ...options
  }) {
    tickSize = number5(tickSize);
    tickPadding = number5(tickPadding);
    tickRotate = number5(tickRotate);
    if (labelAnchor !== void 0) labelAnchor = keyword(labelAnchor, "labelAnchor", ["center", "left", "right"]);
    labelArrow = maybeLabelArrow(labelArrow);
    return marks(
      tickSize && !isNoneish(stroke) ? axisTickKx(k2, anchor, data, {
        stroke,
        strokeOpacity,
        strokeWidth,
        tickSize,
        tickPadding,
        tickRotate,
        y: y2,
        ariaLabel,
        ...options
      }) : null,
      !isNoneish(fill) ? axisTextKx(k2, anchor, data, {
        fill,
        fillOpacity,
        stroke: textStroke,
        strokeOpacity: textStrokeOpacity,
        strokeWidth: textStrokeWidth,
        textAnchor,
        tickSize,
        tickPadding,
        tickRotate,
        y: y2,
        marginTop,
        marginRight,
        marginBottom,
        marginLeft,
        ariaLabel,
        ...options
      }) : null,
      !isNoneish(fill) && label !== null ? text(
        [],
        labelOptions({ fill, fillOpacity, ...options }, function(data2, facets, channels, scales, dimensions) {
          const scale = scales[k2];
          const { marginTop: marginTop2, marginRight: marginRight2, marginBottom: marginBottom2, marginLeft: marginLeft2 } = k2 === "x" && dimensions.inset || dimensions;
          const cla = labelAnchor ?? (scale.bandwidth ? "center" : "right");
          const clo = labelOffset ?? (anchor === "top" ? marginTop2 : marginBottom2) - 3;
          if (cla === "center") {
            this.frameAnchor = anchor;
            this.textAnchor = void 0;
          } else {
            this.frameAnchor = `${anchor}-${cla}`;
            this.textAnchor = cla === "right" ? "end" : "start";
          }
          this.lineAnchor = anchor;
          this.dy = anchor === "top" ? -clo : clo;
          this.dx = cla === "right" ? marginRight2 - 3 : cla === "left" ? 3 - marginLeft2 : 0;
          this.ariaLabel = `${ariaLabel} label`;
          return {
            facets: [[0]],
            channels: { text: { value: [formatAxisLabel(k2, scale, { anchor, label, labelAnchor: cla, labelArrow })] } }
          };
        })
      ) : null
    );
  }
  function axisTickKy(k2, anchor, data, {
    strokeWidth = 1,
    strokeLinecap = null,
    strokeLinejoin = null,
    facetAnchor = anchor + (k2 === "y" ? "-empty" : ""),
    frameAnchor = anchor,
    tickSize,
    inset = 0,
    insetLeft = inset,
    insetRight = inset,
    dx = 0,
    y: y2 = k2 === "y" ? void 0 : null,
    ariaLabel,
    ...options
  }) {
    return axisMark(
      vectorY,
      k2,
      data,
      {
        ariaLabel: `${ariaLabel} tick`,
        ariaHidden: true
      },
      {
        strokeWidth,
        strokeLinecap,
        strokeLinejoin,
        facetAnchor,
        frameAnchor,
        y: y2,
        ...options,
        dx: anchor === "left" ? +dx - offset + +insetLeft : +dx + offset - insetRight,
        anchor: "start",
        length: tickSize,
        shape: anchor === "left" ? shapeTickLeft : shapeTickRight
      }
    );
  }
  function axisTickKx(k2, anchor, data, {
    strokeWidth = 1,
    strokeLinecap = null,
    strokeLinejoin = null,
    facetAnchor = anchor + (k2 === "x" ? "-empty" : ""),
    frameAnchor = anchor,
    tickSize,
    inset = 0,
    insetTop = inset,
    insetBottom = inset,
    dy = 0,
    x: x2 = k2 === "x" ? void 0 : null,
    ariaLabel,
    ...options
  }) {
    return axisMark(
      vectorX,
      k2,
      data,
      {
        ariaLabel: `${ariaLabel} tick`,
        ariaHidden: true
      },
      {
        strokeWidth,
        strokeLinejoin,
        strokeLinecap,
        facetAnchor,
        frameAnchor,
        x: x2,
        ...options,
        dy: anchor === "bottom" ? +dy - offset - insetBottom : +dy + offset + +insetTop,
        anchor: "start",
        length: tickSize,
        shape: anchor === "bottom" ? shapeTickBottom : shapeTickTop
      }
    );
  }
  function axisTextKy(k2, anchor, data, {
    facetAnchor = anchor + (k2 === "y" ? "-empty" : ""),
    frameAnchor = anchor,
    tickSize,
    tickRotate = 0,
    tickPadding = Math.max(3, 9 - tickSize) + (Math.abs(tickRotate) > 60 ? 4 * Math.cos(tickRotate * radians3) : 0),
    text: text2,
    textAnchor = Math.abs(tickRotate) > 60 ? "middle" : anchor === "left" ? "end" : "start",
    lineAnchor = tickRotate > 60 ? "top" : tickRotate < -60 ? "bottom" : "middle",
    fontVariant,
    inset = 0,
    insetLeft = inset,
    insetRight = inset,
    dx = 0,
    ariaLabel,
    y: y2 = k2 === "y" ? void 0 : null,
    ...options
  }) {
    return axisMark(
      textY,
      k2,
      data,
      { ariaLabel: `${ariaLabel} tick label` },
      {
        facetAnchor,
        frameAnchor,
        text: text2,
        textAnchor,
        lineAnchor,
        fontVariant,
        rotate: tickRotate,
        y: y2,
        ...options,
        dx: anchor === "left" ? +dx - tickSize - tickPadding + +insetLeft : +dx + +tickSize + +tickPadding - insetRight
      },
      function(scale, data2, ticks2, tickFormat2, channels) {
        if (fontVariant === void 0) this.fontVariant = inferFontVariant3(scale);
        if (text2 === void 0) channels.text = inferTextChannel(scale, data2, ticks2, tickFormat2, anchor);
      }
    );
  }
  function axisTextKx(k2, anchor, data, {
    facetAnchor = anchor + (k2 === "x" ? "-empty" : ""),
    frameAnchor = anchor,
    tickSize,
    tickRotate = 0,
    tickPadding = Math.max(3, 9 - tickSize) + (Math.abs(tickRotate) >= 10 ? 4 * Math.cos(tickRotate * radians3) : 0),
    text: text2,
    textAnchor = Math.abs(tickRotate) >= 10 ? tickRotate < 0 ^ anchor === "bottom" ? "start" : "end" : "middle",
    lineAnchor = Math.abs(tickRotate) >= 10 ? "middle" : anchor === "bottom" ? "top" : "bottom",
    fontVariant,
    inset = 0,
    insetTop = inset,
    insetBottom = inset,
    dy = 0,
    x: x2 = k2 === "x" ? void 0 : null,
    ariaLabel,
    ...options
  }) {
    return axisMark(
      textX,
      k2,
      data,
      { ariaLabel: `${ariaLabel} tick label` },
      {
        facetAnchor,
        frameAnchor,
        text: text2 === void 0 ? null : text2,
        textAnchor,
        lineAnchor,
        fontVariant,
        rotate: tickRotate,
        x: x2,
        ...options,
        dy: anchor === "bottom" ? +dy + +tickSize + +tickPadding - insetBottom : +dy - tickSize - tickPadding + +insetTop
      },
      function(scale, data2, ticks2, tickFormat2, channels) {
        if (fontVariant === void 0) this.fontVariant = inferFontVariant3(scale);
        if (text2 === void 0) channels.text = inferTextChannel(scale, data2, ticks2, tickFormat2, anchor);
      }
    );
  }
  function gridY() {
    const [data, options] = maybeData(...arguments);
    return gridKy("y", anchorY2(options), data, options);
  }
  function gridFy() {
    const [data, options] = maybeData(...arguments);
    return gridKy("fy", anchorFy(options), data, options);
  }
  function gridX() {
    const [data, options] = maybeData(...arguments);
    return gridKx("x", anchorX2(options), data, options);
  }
  function gridFx() {
    const [data, options] = maybeData(...arguments);
    return gridKx("fx", anchorFx(options), data, options);
  }
  function gridKy(k2, anchor, data, {
    y: y2 = k2 === "y" ? void 0 : null,
    x: x2 = null,
    x1: x12 = anchor === "left" ? x2 : null,
    x2: x22 = anchor === "right" ? x2 : null,
    ariaLabel = `${k2}-grid`,
    ariaHidden = true,
    ...options
  }) {
    return axisMark(ruleY, k2, data, { ariaLabel, ariaHidden }, { y: y2, x1: x12, x2: x22, ...gridDefaults(options) });
  }
  function gridKx(k2, anchor, data, {
    x: x2 = k2 === "x" ? void 0 : null,
    y: y2 = null,
    y1: y12 = anchor === "top" ? y2 : null,
    y2: y22 = anchor === "bottom" ? y2 : null,
    ariaLabel = `${k2}-grid`,
    ariaHidden = true,
    ...options
  }) {
    return axisMark(ruleX, k2, data, { ariaLabel, ariaHidden }, { x: x2, y1: y12, y2: y22, ...gridDefaults(options) });
  }
  function gridDefaults({
    color: color3 = "currentColor",
    opacity: opacity2 = 0.1,
    stroke = color3,
    strokeOpacity = opacity2,
    strokeWidth = 1,
    ...options
  }) {
    return { stroke, strokeOpacity, strokeWidth, ...options };
  }
  function labelOptions({
    fill,
    fillOpacity,
    fontFamily,
    fontSize,
    fontStyle,
    fontVariant,
    fontWeight,
    monospace,
    pointerEvents,
    shapeRendering,
    clip: clip2 = false
  }, initializer2) {
    [, fill] = maybeColorChannel(fill);
    [, fillOpacity] = maybeNumberChannel(fillOpacity);
    return {
      facet: "super",
      x: null,
      y: null,
      fill,
      fillOpacity,
      fontFamily,
      fontSize,
      fontStyle,
      fontVariant,
      fontWeight,
      monospace,
      pointerEvents,
      shapeRendering,
      clip: clip2,
      initializer: initializer2
    };
  }
  function axisMark(mark, k2, data, properties, options, initialize) {
    let channels;
    function axisInitializer(data2, facets, _channels, scales, dimensions, context) {
      const initializeFacets = data2 == null && (k2 === "fx" || k2 === "fy");
      const { [k2]: scale } = scales;
      if (!scale) throw new Error(`missing scale: ${k2}`);
      const domain = scale.domain();
      let { interval, ticks: ticks2, tickFormat: tickFormat2, tickSpacing = k2 === "x" ? 80 : 35 } = options;
      if (typeof ticks2 === "string" && hasTemporalDomain(scale)) interval = ticks2, ticks2 = void 0;
      if (ticks2 === void 0) ticks2 = maybeRangeInterval(interval, scale.type) ?? inferTickCount(scale, tickSpacing);
      if (data2 == null) {
        if (isIterable(ticks2)) {
          data2 = arrayify2(ticks2);
        } else if (isInterval(ticks2)) {
          data2 = inclusiveRange(ticks2, ...extent(domain));
        } else if (scale.interval) {
          let interval2 = scale.interval;
          if (scale.ticks) {
            const [min3, max2] = extent(domain);
            const n = (max2 - min3) / interval2[intervalDuration];
            interval2 = generalizeTimeInterval(interval2, n / ticks2) ?? interval2;
            data2 = inclusiveRange(interval2, min3, max2);
          } else {
            data2 = domain;
            const n = data2.length;
            interval2 = generalizeTimeInterval(interval2, n / ticks2) ?? interval2;
            if (interval2 !== scale.interval) data2 = inclusiveRange(interval2, ...extent(data2));
          }
          if (interval2 === scale.interval) {
            const n = Math.round(data2.length / ticks2);
            if (n > 1) data2 = data2.filter((d, i) => i % n === 0);
          }
        } else if (scale.ticks) {
          data2 = scale.ticks(ticks2);
        } else {
          data2 = domain;
        }
        if (!scale.ticks && data2.length && data2 !== domain) {
          const domainSet = new InternSet(domain);
          data2 = data2.filter((d) => domainSet.has(d));
          if (!data2.length) warn(`Warning: the ${k2}-axis ticks appear to not align with the scale domain, resulting in no ticks. Try different ticks?`);
        }
        if (k2 === "y" || k2 === "x") {
          facets = [range2(data2)];
        } else {
          channels[k2] = { scale: k2, value: identity6 };
        }
      }
      initialize?.call(this, scale, data2, ticks2, tickFormat2, channels);
      const initializedChannels = Object.fromEntries(
        Object.entries(channels).map(([name, channel]) => {
          return [name, { ...channel, value: valueof(data2, channel.value) }];
        })
      );
      if (initializeFacets) facets = context.filterFacets(data2, initializedChannels);
      return { data: data2, facets, channels: initializedChannels };
    }
    const basicInitializer = initializer(options).initializer;
    const m = mark(data, initializer({ ...options, initializer: axisInitializer }, basicInitializer));
    if (data == null) {
      channels = m.channels;
      m.channels = {};
    } else {
      channels = {};
    }
    if (properties !== void 0) Object.assign(m, properties);
    if (m.clip === void 0) m.clip = false;
    return m;
  }
  function inferTickCount(scale, tickSpacing) {
    const [min3, max2] = extent(scale.range());
    return (max2 - min3) / tickSpacing;
  }
  function inferTextChannel(scale, data, ticks2, tickFormat2, anchor) {
    return { value: inferTickFormat(scale, data, ticks2, tickFormat2, anchor) };
  }
  function inferTickFormat(scale, data, ticks2, tickFormat2, anchor) {
    return typeof tickFormat2 === "function" && !(scale.type === "log" && scale.tickFormat) ? tickFormat2 : tickFormat2 === void 0 && data && isTemporal(data) ? inferTimeFormat(scale.type, data, anchor) ?? formatDefault : scale.tickFormat ? scale.tickFormat(typeof ticks2 === "number" ? ticks2 : null, tickFormat2) : typeof tickFormat2 === "string" && scale.domain().length > 0 ? (isTemporal(scale.domain()) ? utcFormat : format)(tickFormat2) : tickFormat2 === void 0 ? formatDefault : constant4(tickFormat2);
  }
  function inclusiveRange(interval, min3, max2) {
    return interval.range(min3, interval.offset(interval.floor(max2)));
  }
  var shapeTickBottom = {
    draw(context, l) {
      context.moveTo(0, 0);
      context.lineTo(0, l);
    }
  };
  var shapeTickTop = {
    draw(context, l) {
      context.moveTo(0, 0);
      context.lineTo(0, -l);
    }
  };
  var shapeTickLeft = {
    draw(context, l) {
      context.moveTo(0, 0);
      context.lineTo(-l, 0);
    }
  };
  var shapeTickRight = {
    draw(context, l) {
      context.moveTo(0, 0);
      context.lineTo(l, 0);
    }
  };
  function inferFontVariant3(scale) {
    return scale.bandwidth && !scale.interval ? void 0 : "tabular-nums";
  }
  function formatAxisLabel(k2, scale, { anchor, label = scale.label, labelAnchor, labelArrow } = {}) {
    if (label == null || label.inferred && hasTemporalDomain(scale) && /^(date|time|year)$/i.test(label)) return;
    label = String(label);
    if (labelArrow === "auto") labelArrow = (!scale.bandwidth || scale.interval) && !/[↑↓→←]/.test(label);
    if (!labelArrow) return label;
    if (labelArrow === true) {
      const order = inferScaleOrder(scale);
      if (order)
        labelArrow = /x$/.test(k2) || labelAnchor === "center" ? /x$/.test(k2) === order < 0 ? "left" : "right" : order < 0 ? "up" : "down";
    }
    switch (labelArrow) {
      case "left":
        return `← ${label}`;
      case "right":
        return `${label} →`;
      case "up":
        return anchor === "right" ? `${label} ↑` : `↑ ${label}`;
      case "down":
        return anchor === "right" ? `${label} ↓` : `↓ ${label}`;
    }
    return label;
  }
  function maybeLabelArrow(labelArrow = "auto") {
    return isNoneish(labelArrow) ? false : typeof labelArrow === "boolean" ? labelArrow : keyword(labelArrow, "labelArrow", ["auto", "up", "right", "down", "left"]);
  }
  function hasTemporalDomain(scale) {
    return isTemporal(scale.domain());
  }

  // node_modules/@observablehq/plot/src/legends/swatches.js
  function maybeScale(scale, key) {
    if (key == null) return key;
    const s3 = scale(key);
    if (!s3) throw new Error(`scale not found: ${key}`);
    return s3;
  }
  function legendSwatches(color3, { opacity: opacity2, ...options } = {}) {
    if (!isOrdinalScale(color3) && !isThresholdScale(color3))
      throw new Error(`swatches legend requires ordinal or threshold color scale (not ${color3.type})`);
    return legendItems(
      color3,
      options,
      (selection2, scale, width, height) => selection2.append("svg").attr("width", width).attr("height", height).attr("fill", scale.scale).attr("fill-opacity", maybeNumberChannel(opacity2)[1]).append("rect").attr("width", "100%").attr("height", "100%")
    );
  }
  function legendSymbols(symbol2, {
    fill = symbol2.hint?.fill !== void 0 ? symbol2.hint.fill : "none",
    fillOpacity = 1,
    stroke = symbol2.hint?.stroke !== void 0 ? symbol2.hint.stroke : isNoneish(fill) ? "currentColor" : "none",
    strokeOpacity = 1,
    strokeWidth = 1.5,
    r = 4.5,
    ...options
  } = {}, scale) {
    const [vf, cf] = maybeColorChannel(fill);
    const [vs, cs] = maybeColorChannel(stroke);
    const sf = maybeScale(scale, vf);
    const ss = maybeScale(scale, vs);
    const size = r * r * Math.PI;
    fillOpacity = maybeNumberChannel(fillOpacity)[1];
    strokeOpacity = maybeNumberChannel(strokeOpacity)[1];
    strokeWidth = maybeNumberChannel(strokeWidth)[1];
    return legendItems(
      symbol2,
      options,
      (selection2, scale2, width, height) => selection2.append("svg").attr("viewBox", "-8 -8 16 16").attr("width", width).attr("height", height).attr("fill", vf === "color" ? (d) => sf.scale(d) : cf).attr("fill-opacity", fillOpacity).attr("stroke", vs === "color" ? (d) => ss.scale(d) : cs).attr("stroke-opacity", strokeOpacity).attr("stroke-width", strokeWidth).append("path").attr("d", (d) => {
        const p = pathRound();
        symbol2.scale(d).draw(p, size);
        return p;
      })
    );
  }
  function legendItems(scale, options = {}, swatch) {
    let {
      columns,
      tickFormat: tickFormat2,
      fontVariant = inferFontVariant(scale),
      // TODO label,
      swatchSize = 15,
      swatchWidth = swatchSize,
      swatchHeight = swatchSize,
      marginLeft = 0,
      className,
      style,
      width
    } = options;
    const context = createContext(options);
    className = maybeClassName(className);
    tickFormat2 = inferTickFormat(scale.scale, scale.domain, void 0, tickFormat2);
    const swatches = create("div", context).attr(
      "class",
      `${className}-swatches ${className}-swatches-${columns != null ? "columns" : "wrap"}`
    );
    let extraStyle;
    if (columns != null) {
      extraStyle = `:where(.${className}-swatches-columns .${className}-swatch) {
  display: flex;
  align-items: center;
  break-inside: avoid;
  padding-bottom: 1px;
}
:where(.${className}-swatches-columns .${className}-swatch::before) {
  flex-shrink: 0;
}
:where(.${className}-swatches-columns .${className}-swatch-label) {
  white-space: nowrap;
  overflow: hidden;
  text-overflow: ellipsis;
}`;
      swatches.style("columns", columns).selectAll().data(scale.domain).enter().append("div").attr("class", `${className}-swatch`).call(swatch, scale, swatchWidth, swatchHeight).call(
        (item) => item.append("div").attr("class", `${className}-swatch-label`).attr("title", tickFormat2).text(tickFormat2)
      );
    } else {
      extraStyle = `:where(.${className}-swatches-wrap) {
  display: flex;
  align-items: center;
  min-height: 33px;
  flex-wrap: wrap;
}
:where(.${className}-swatches-wrap .${className}-swatch) {
  display: inline-flex;
  align-items: center;
  margin-right: 1em;
}`;
      swatches.selectAll().data(scale.domain).enter().append("span").attr("class", `${className}-swatch`).call(swatch, scale, swatchWidth, swatchHeight).append(function() {
        return this.ownerDocument.createTextNode(tickFormat2.apply(this, arguments));
      });
    }
    return swatches.call(
      (div) => div.insert("style", "*").text(
        `:where(.${className}-swatches) {
  font-family: system-ui, sans-serif;
  font-size: 10px;
  margin-bottom: 0.5em;
}
:where(.${className}-swatch > svg) {
  margin-right: 0.5em;
  overflow: visible;
}
${extraStyle}`
      )
    ).style("margin-left", marginLeft ? `${+marginLeft}px` : null).style("width", width === void 0 ? null : `${+width}px`).style("font-variant", impliedString(fontVariant, "normal")).call(applyInlineStyles, style).node();
  }

  // node_modules/@observablehq/plot/src/legends.js
  var legendRegistry = /* @__PURE__ */ new Map([
    ["symbol", legendSymbols],
    ["color", legendColor],
    ["opacity", legendOpacity]
  ]);
  function exposeLegends(scales, context, defaults10 = {}) {
    return (key, options) => {
      if (!legendRegistry.has(key)) throw new Error(`unknown legend type: ${key}`);
      if (!(key in scales)) return;
      return legendRegistry.get(key)(scales[key], legendOptions(context, defaults10[key], options), (key2) => scales[key2]);
    };
  }
  function legendOptions({ className, ...context }, { label, ticks: ticks2, tickFormat: tickFormat2 } = {}, options) {
    return inherit(options, { className, ...context }, { label, ticks: ticks2, tickFormat: tickFormat2 });
  }
  function legendColor(color3, { legend = true, ...options }) {
    if (legend === true) legend = color3.type === "ordinal" ? "swatches" : "ramp";
    if (color3.domain === void 0) return;
    switch (`${legend}`.toLowerCase()) {
      case "swatches":
        return legendSwatches(color3, options);
      case "ramp":
        return legendRamp(color3, options);
      default:
        throw new Error(`unknown legend type: ${legend}`);
    }
  }
  function legendOpacity({ type, interpolate, ...scale }, { legend = true, color: color3 = rgb(0, 0, 0), ...options }) {
    if (!interpolate) throw new Error(`${type} opacity scales are not supported`);
    if (legend === true) legend = "ramp";
    if (`${legend}`.toLowerCase() !== "ramp") throw new Error(`${legend} opacity legends are not supported`);
    return legendColor({ type, ...scale, interpolate: interpolateOpacity(color3) }, { legend, ...options });
  }
  function interpolateOpacity(color3) {
    const { r, g, b } = rgb(color3) || rgb(0, 0, 0);
    return (t) => `rgba(${r},${g},${b},${t})`;
  }
  function createLegends(scales, context, options) {
    const legends = [];
    for (const [key, value2] of legendRegistry) {
      const o = options[key];
      if (o?.legend && key in scales) {
        const legend = value2(scales[key], legendOptions(context, scales[key], o), (key2) => scales[key2]);
        if (legend != null) legends.push(legend);
      }
    }
    return legends;
  }

  // node_modules/@observablehq/plot/src/transforms/identity.js
  function maybeIdentityX(options = {}, k2 = "x") {
    return hasX(options) ? options : { ...options, [k2]: identity6 };
  }
  function maybeIdentityY(options = {}, k2 = "y") {
    return hasY(options) ? options : { ...options, [k2]: identity6 };
  }

  // node_modules/@observablehq/plot/src/transforms/exclusiveFacets.js
  function exclusiveFacets(data, facets) {
    if (facets.length === 1) return { data, facets };
    const n = lengthof(data);
    const O = new Uint8Array(n);
    let overlaps = 0;
    for (const facet of facets) {
      for (const i of facet) {
        if (O[i]) ++overlaps;
        O[i] = 1;
      }
    }
    if (overlaps === 0) return { data, facets };
    data = slice3(data);
    const R = data[reindex] = new Uint32Array(n + overlaps);
    facets = facets.map((facet) => slice3(facet, Uint32Array));
    let j = n;
    O.fill(0);
    for (const facet of facets) {
      for (let k2 = 0, m = facet.length; k2 < m; ++k2) {
        const i = facet[k2];
        if (O[i]) facet[k2] = j, data[j] = data[i], R[j] = i, ++j;
        else R[i] = i;
        O[i] = 1;
      }
    }
    return { data, facets };
  }

  // node_modules/@observablehq/plot/src/transforms/stack.js
  function stackX(stackOptions = {}, options = {}) {
    if (arguments.length === 1) [stackOptions, options] = mergeOptions(stackOptions);
    const { y1: y12, y: y2 = y12, x: x2, ...rest } = options;
    const [transform2, Y3, x12, x22] = stack(y2, x2, "y", "x", stackOptions, rest);
    return { ...transform2, y1: y12, y: Y3, x1: x12, x2: x22, x: mid(x12, x22) };
  }
  function stackY(stackOptions = {}, options = {}) {
    if (arguments.length === 1) [stackOptions, options] = mergeOptions(stackOptions);
    const { x1: x12, x: x2 = x12, y: y2, ...rest } = options;
    const [transform2, X3, y12, y22] = stack(x2, y2, "x", "y", stackOptions, rest);
    return { ...transform2, x1: x12, x: X3, y1: y12, y2: y22, y: mid(y12, y22) };
  }
  function maybeStackX({ x: x2, x1: x12, x2: x22, ...options } = {}) {
    options = withTip(options, "y");
    if (x12 === void 0 && x22 === void 0) return stackX({ x: x2, ...options });
    [x12, x22] = maybeZero(x2, x12, x22);
    return { ...options, x1: x12, x2: x22 };
  }
  function maybeStackY({ y: y2, y1: y12, y2: y22, ...options } = {}) {
    options = withTip(options, "x");
    if (y12 === void 0 && y22 === void 0) return stackY({ y: y2, ...options });
    [y12, y22] = maybeZero(y2, y12, y22);
    return { ...options, y1: y12, y2: y22 };
  }
  function mergeOptions(options) {
    const { offset: offset2, order, reverse: reverse2, ...rest } = options;
    return [{ offset: offset2, order, reverse: reverse2 }, rest];
  }
  var lengthy = { length: true };
  function stack(x2, y2 = one2, kx2, ky2, { offset: offset2, order, reverse: reverse2 }, options) {
    if (y2 === null) throw new Error(`stack requires ${ky2}`);
    const z2 = maybeZ(options);
    const [X3, setX] = maybeColumn(x2);
    const [Y12, setY1] = column(y2);
    const [Y22, setY2] = column(y2);
    Y12.hint = Y22.hint = lengthy;
    offset2 = maybeOffset(offset2);
    order = maybeOrder2(order, offset2, ky2);
    return [
      basic(options, (data, facets, plotOptions) => {
        ({ data, facets } = exclusiveFacets(data, facets));
        const X4 = x2 == null ? void 0 : setX(maybeApplyInterval(valueof(data, x2), plotOptions?.[kx2]));
        const Y3 = valueof(data, y2, Float64Array);
        const Z3 = valueof(data, z2);
        const compare2 = order && order(data, X4, Y3, Z3);
        const n = lengthof(data);
        const Y13 = setY1(new Float64Array(n));
        const Y23 = setY2(new Float64Array(n));
        const facetstacks = [];
        for (const facet of facets) {
          const stacks = X4 ? Array.from(group(facet, (i) => X4[i]).values()) : [facet];
          if (compare2) for (const stack2 of stacks) stack2.sort(compare2);
          for (const stack2 of stacks) {
            let yn2 = 0;
            let yp = 0;
            if (reverse2) stack2.reverse();
            for (const i of stack2) {
              const y3 = Y3[i];
              if (y3 < 0) yn2 = Y23[i] = (Y13[i] = yn2) + y3;
              else if (y3 > 0) yp = Y23[i] = (Y13[i] = yp) + y3;
              else Y23[i] = Y13[i] = yp;
            }
          }
          facetstacks.push(stacks);
        }
        if (offset2) offset2(facetstacks, Y13, Y23, Z3);
        return { data, facets };
      }),
      X3,
      Y12,
      Y22
    ];
  }
  function maybeOffset(offset2) {
    if (offset2 == null) return;
    if (typeof offset2 === "function") return offset2;
    switch (`${offset2}`.toLowerCase()) {
      case "expand":
      case "normalize":
        return offsetExpand;
      case "center":
      case "silhouette":
        return offsetCenter;
      case "wiggle":
        return offsetWiggle;
    }
    throw new Error(`unknown offset: ${offset2}`);
  }
  function extent2(stack2, Y22) {
    let min3 = 0, max2 = 0;
    for (const i of stack2) {
      const y2 = Y22[i];
      if (y2 < min3) min3 = y2;
      if (y2 > max2) max2 = y2;
    }
    return [min3, max2];
  }
  function offsetExpand(facetstacks, Y12, Y22) {
    for (const stacks of facetstacks) {
      for (const stack2 of stacks) {
        const [yn2, yp] = extent2(stack2, Y22);
        for (const i of stack2) {
          const m = 1 / (yp - yn2 || 1);
          Y12[i] = m * (Y12[i] - yn2);
          Y22[i] = m * (Y22[i] - yn2);
        }
      }
    }
  }
  function offsetCenter(facetstacks, Y12, Y22) {
    for (const stacks of facetstacks) {
      for (const stack2 of stacks) {
        const [yn2, yp] = extent2(stack2, Y22);
        for (const i of stack2) {
          const m = (yp + yn2) / 2;
          Y12[i] -= m;
          Y22[i] -= m;
        }
      }
      offsetZero(stacks, Y12, Y22);
    }
    offsetCenterFacets(facetstacks, Y12, Y22);
  }
  function offsetWiggle(facetstacks, Y12, Y22, Z3) {
    for (const stacks of facetstacks) {
      const prev = new InternMap();
      let y2 = 0;
      for (const stack2 of stacks) {
        let j = -1;
        const Fi = stack2.map((i) => Math.abs(Y22[i] - Y12[i]));
        const Df = stack2.map((i) => {
          j = Z3 ? Z3[i] : ++j;
          const value2 = Y22[i] - Y12[i];
          const diff = prev.has(j) ? value2 - prev.get(j) : 0;
          prev.set(j, value2);
          return diff;
        });
        const Cf1 = [0, ...cumsum(Df)];
        for (const i of stack2) {
          Y12[i] += y2;
          Y22[i] += y2;
        }
        const s1 = sum(Fi);
        if (s1) y2 -= sum(Fi, (d, i) => (Df[i] / 2 + Cf1[i]) * d) / s1;
      }
      offsetZero(stacks, Y12, Y22);
    }
    offsetCenterFacets(facetstacks, Y12, Y22);
  }
  function offsetZero(stacks, Y12, Y22) {
    const m = min(stacks, (stack2) => min(stack2, (i) => Y12[i]));
    for (const stack2 of stacks) {
      for (const i of stack2) {
        Y12[i] -= m;
        Y22[i] -= m;
      }
    }
  }
  function offsetCenterFacets(facetstacks, Y12, Y22) {
    const n = facetstacks.length;
    if (n === 1) return;
    const facets = facetstacks.map((stacks) => stacks.flat());
    const m = facets.map((I) => (min(I, (i) => Y12[i]) + max(I, (i) => Y22[i])) / 2);
    const m0 = min(m);
    for (let j = 0; j < n; j++) {
      const p = m0 - m[j];
      for (const i of facets[j]) {
        Y12[i] += p;
        Y22[i] += p;
      }
    }
  }
  function maybeOrder2(order, offset2, ky2) {
    if (order === void 0 && offset2 === offsetWiggle) return orderInsideOut(ascendingDefined2);
    if (order == null) return;
    if (typeof order === "string") {
      const negate = order.startsWith("-");
      const compare2 = negate ? descendingDefined : ascendingDefined2;
      switch ((negate ? order.slice(1) : order).toLowerCase()) {
        case "value":
        case ky2:
          return orderY(compare2);
        case "z":
          return orderZ(compare2);
        case "sum":
          return orderSum(compare2);
        case "appearance":
          return orderAppearance(compare2);
        case "inside-out":
          return orderInsideOut(compare2);
      }
      return orderAccessor(field(order));
    }
    if (typeof order === "function") return (order.length === 1 ? orderAccessor : orderComparator)(order);
    if (isArray(order)) return orderGiven(order);
    throw new Error(`invalid order: ${order}`);
  }
  function orderY(compare2) {
    return (data, X3, Y3) => (i, j) => compare2(Y3[i], Y3[j]);
  }
  function orderZ(compare2) {
    return (data, X3, Y3, Z3) => (i, j) => compare2(Z3[i], Z3[j]);
  }
  function orderSum(compare2) {
    return orderZDomain(
      compare2,
      (data, X3, Y3, Z3) => groupSort(
        range2(data),
        (I) => sum(I, (i) => Y3[i]),
        (i) => Z3[i]
      )
    );
  }
  function orderAppearance(compare2) {
    return orderZDomain(
      compare2,
      (data, X3, Y3, Z3) => groupSort(
        range2(data),
        (I) => X3[greatest(I, (i) => Y3[i])],
        (i) => Z3[i]
      )
    );
  }
  function orderInsideOut(compare2) {
    return orderZDomain(compare2, (data, X3, Y3, Z3) => {
      const I = range2(data);
      const K3 = groupSort(
        I,
        (I2) => X3[greatest(I2, (i) => Y3[i])],
        (i) => Z3[i]
      );
      const sums = rollup(
        I,
        (I2) => sum(I2, (i) => Y3[i]),
        (i) => Z3[i]
      );
      const Kp = [], Kn2 = [];
      let s3 = 0;
      for (const k2 of K3) {
        if (s3 < 0) {
          s3 += sums.get(k2);
          Kp.push(k2);
        } else {
          s3 -= sums.get(k2);
          Kn2.push(k2);
        }
      }
      return Kn2.reverse().concat(Kp);
    });
  }
  function orderAccessor(f) {
    return (data) => {
      const O = valueof(data, f);
      return (i, j) => ascendingDefined2(O[i], O[j]);
    };
  }
  function orderComparator(f) {
    return (data) => {
      return isArray(data) ? (i, j) => f(data[i], data[j]) : (i, j) => f(data.get(i), data.get(j));
    };
  }
  function orderGiven(domain) {
    return orderZDomain(ascendingDefined2, () => domain);
  }
  function orderZDomain(compare2, domain) {
    return (data, X3, Y3, Z3) => {
      if (!Z3) throw new Error("missing channel: z");
      const map3 = new InternMap(domain(data, X3, Y3, Z3).map((d, i) => [d, i]));
      return (i, j) => compare2(map3.get(Z3[i]), map3.get(Z3[j]));
    };
  }

  // node_modules/@observablehq/plot/src/marks/rect.js
  function rectInsets(mark, { inset = 0, insetTop = inset, insetRight = inset, insetBottom = inset, insetLeft = inset } = {}) {
    mark.insetTop = number5(insetTop);
    mark.insetRight = number5(insetRight);
    mark.insetBottom = number5(insetBottom);
    mark.insetLeft = number5(insetLeft);
  }
  function rectRadii(mark, {
    r,
    rx,
    // for elliptic corners
    ry,
    // for elliptic corners
    rx1 = r,
    ry1 = r,
    rx2 = r,
    ry2 = r,
    rx1y1 = rx1 !== void 0 ? +rx1 : ry1 !== void 0 ? +ry1 : 0,
    rx1y2 = rx1 !== void 0 ? +rx1 : ry2 !== void 0 ? +ry2 : 0,
    rx2y1 = rx2 !== void 0 ? +rx2 : ry1 !== void 0 ? +ry1 : 0,
    rx2y2 = rx2 !== void 0 ? +rx2 : ry2 !== void 0 ? +ry2 : 0
  } = {}) {
    if (rx1y1 || rx1y2 || rx2y1 || rx2y2) {
      mark.rx1y1 = rx1y1;
      mark.rx1y2 = rx1y2;
      mark.rx2y1 = rx2y1;
      mark.rx2y2 = rx2y2;
    } else {
      mark.rx = impliedString(rx, "auto");
      mark.ry = impliedString(ry, "auto");
    }
  }
  function applyRoundedRect(selection2, X12, Y12, X22, Y22, mark) {
    const { rx1y1: r11, rx1y2: r12, rx2y1: r21, rx2y2: r22 } = mark;
    if (typeof X12 !== "function") X12 = constant4(X12);
    if (typeof Y12 !== "function") Y12 = constant4(Y12);
    if (typeof X22 !== "function") X22 = constant4(X22);
    if (typeof Y22 !== "function") Y22 = constant4(Y22);
    const rx = Math.max(Math.abs(r11 + r21), Math.abs(r12 + r22));
    const ry = Math.max(Math.abs(r11 + r12), Math.abs(r21 + r22));
    selection2.attr("d", (i) => {
      const x12 = X12(i);
      const y12 = Y12(i);
      const x2 = X22(i);
      const y2 = Y22(i);
      const ix = x12 > x2;
      const iy = y12 > y2;
      const l = ix ? x2 : x12;
      const r = ix ? x12 : x2;
      const t = iy ? y2 : y12;
      const b = iy ? y12 : y2;
      const k2 = Math.min(1, (r - l) / rx, (b - t) / ry);
      const tl = k2 * (ix ? iy ? r22 : r21 : iy ? r12 : r11);
      const tr2 = k2 * (ix ? iy ? r12 : r11 : iy ? r22 : r21);
      const br2 = k2 * (ix ? iy ? r11 : r12 : iy ? r21 : r22);
      const bl = k2 * (ix ? iy ? r21 : r22 : iy ? r11 : r12);
      return `M${l},${t + biasY(tl, bl)}A${tl},${tl} 0 0 ${tl < 0 ? 0 : 1} ${l + biasX(tl, bl)},${t}H${r - biasX(tr2, br2)}A${tr2},${tr2} 0 0 ${tr2 < 0 ? 0 : 1} ${r},${t + biasY(tr2, br2)}V${b - biasY(br2, tr2)}A${br2},${br2} 0 0 ${br2 < 0 ? 0 : 1} ${r - biasX(br2, tr2)},${b}H${l + biasX(bl, tl)}A${bl},${bl} 0 0 ${bl < 0 ? 0 : 1} ${l},${b - biasY(bl, tl)}Z`;
    });
  }
  function biasX(r1, r2) {
    return r2 < 0 ? r1 : Math.abs(r1);
  }
  function biasY(r1, r2) {
    return r2 < 0 ? Math.abs(r1) : r1;
  }

  // node_modules/@observablehq/plot/src/marks/frame.js
  var defaults4 = {
    ariaLabel: "frame",
    fill: "none",
    stroke: "currentColor",
    clip: false
  };
  var lineDefaults = {
    ariaLabel: "frame",
    fill: null,
    stroke: "currentColor",
    strokeLinecap: "square",
    clip: false
  };
  var Frame = class extends Mark {
    constructor(options = {}) {
      const { anchor = null } = options;
      super(singleton, void 0, options, anchor == null ? defaults4 : lineDefaults);
      this.anchor = maybeKeyword(anchor, "anchor", ["top", "right", "bottom", "left"]);
      rectInsets(this, options);
      if (!anchor) rectRadii(this, options);
    }
    render(index2, scales, channels, dimensions, context) {
      const { marginTop, marginRight, marginBottom, marginLeft, width, height } = dimensions;
      const { anchor, insetTop, insetRight, insetBottom, insetLeft } = this;
      const { rx, ry, rx1y1, rx1y2, rx2y1, rx2y2 } = this;
      const x12 = marginLeft + insetLeft;
      const x2 = width - marginRight - insetRight;
      const y12 = marginTop + insetTop;
      const y2 = height - marginBottom - insetBottom;
      return create(anchor ? "svg:line" : rx1y1 || rx1y2 || rx2y1 || rx2y2 ? "svg:path" : "svg:rect", context).datum(0).call(applyIndirectStyles, this, dimensions, context).call(applyDirectStyles, this).call(applyChannelStyles, this, channels).call(applyTransform, this, {}).call(
        anchor === "left" ? (line4) => line4.attr("x1", x12).attr("x2", x12).attr("y1", y12).attr("y2", y2) : anchor === "right" ? (line4) => line4.attr("x1", x2).attr("x2", x2).attr("y1", y12).attr("y2", y2) : anchor === "top" ? (line4) => line4.attr("x1", x12).attr("x2", x2).attr("y1", y12).attr("y2", y12) : anchor === "bottom" ? (line4) => line4.attr("x1", x12).attr("x2", x2).attr("y1", y2).attr("y2", y2) : rx1y1 || rx1y2 || rx2y1 || rx2y2 ? (path2) => path2.call(applyRoundedRect, x12, y12, x2, y2, this) : (rect) => rect.attr("x", x12).attr("y", y12).attr("width", x2 - x12).attr("height", y2 - y12).attr("rx", rx).attr("ry", ry)
      ).node();
    }
  };
  function frame(options) {
    return new Frame(options);
  }

  // node_modules/@observablehq/plot/src/marks/tip.js
  var defaults5 = {
    ariaLabel: "tip",
    fill: "var(--plot-background)",
    stroke: "currentColor"
  };
  var ignoreChannels = /* @__PURE__ */ new Set(["geometry", "href", "src", "ariaLabel", "scales"]);
  var Tip = class extends Mark {
    constructor(data, options = {}) {
      if (options.tip) options = { ...options, tip: false };
      if (options.title === void 0 && isIterable(data) && isTextual(data)) options = { ...options, title: identity6 };
      const {
        x: x2,
        y: y2,
        x1: x12,
        x2: x22,
        y1: y12,
        y2: y22,
        anchor,
        preferredAnchor = "bottom",
        monospace,
        fontFamily = monospace ? "ui-monospace, monospace" : void 0,
        fontSize,
        fontStyle,
        fontVariant,
        fontWeight,
        lineHeight = 1,
        lineWidth = 20,
        frameAnchor,
        format: format3,
        textAnchor = "start",
        textOverflow,
        textPadding = 8,
        title,
        pointerSize = 12,
        pathFilter = "drop-shadow(0 3px 4px rgba(0,0,0,0.2))"
      } = options;
      super(
        data,
        {
          x: { value: x12 != null && x22 != null ? null : x2, scale: "x", optional: true },
          // ignore midpoint
          y: { value: y12 != null && y22 != null ? null : y2, scale: "y", optional: true },
          // ignore midpoint
          x1: { value: x12, scale: "x", optional: x22 == null },
          y1: { value: y12, scale: "y", optional: y22 == null },
          x2: { value: x22, scale: "x", optional: x12 == null },
          y2: { value: y22, scale: "y", optional: y12 == null },
          title: { value: title, optional: true }
          // filter: defined
        },
        options,
        defaults5
      );
      this.anchor = maybeAnchor(anchor, "anchor");
      this.preferredAnchor = maybeAnchor(preferredAnchor, "preferredAnchor");
      this.frameAnchor = maybeFrameAnchor(frameAnchor);
      this.textAnchor = impliedString(textAnchor, "middle");
      this.textPadding = +textPadding;
      this.pointerSize = +pointerSize;
      this.pathFilter = string2(pathFilter);
      this.lineHeight = +lineHeight;
      this.lineWidth = +lineWidth;
      this.textOverflow = maybeTextOverflow(textOverflow);
      this.monospace = !!monospace;
      this.fontFamily = string2(fontFamily);
      this.fontSize = number5(fontSize);
      this.fontStyle = string2(fontStyle);
      this.fontVariant = string2(fontVariant);
      this.fontWeight = string2(fontWeight);
      for (const key in defaults5) if (key in this.channels) this[key] = defaults5[key];
      this.splitLines = splitter(this);
      this.clipLine = clipper(this);
      this.format = typeof format3 === "string" || typeof format3 === "function" ? { title: format3 } : { ...format3 };
    }
    render(index2, scales, values2, dimensions, context) {
      const mark = this;
      const { x: x2, y: y2, fx, fy } = scales;
      const { ownerSVGElement: svg, document: document2 } = context;
      const { anchor, monospace, lineHeight, lineWidth } = this;
      const { textPadding: r, pointerSize: m, pathFilter } = this;
      const { marginTop, marginLeft } = dimensions;
      const { x1: X12, y1: Y12, x2: X22, y2: Y22, x: X3 = X12 ?? X22, y: Y3 = Y12 ?? Y22 } = values2;
      const ox = fx ? fx(index2.fx) - marginLeft : 0;
      const oy = fy ? fy(index2.fy) - marginTop : 0;
      const [cx, cy] = applyFrameAnchor(this, dimensions);
      const px = anchorX(values2, cx);
      const py = anchorY(values2, cy);
      const widthof = monospace ? monospaceWidth : defaultWidth;
      const ee2 = widthof(ellipsis);
      let sources2, format3;
      if ("title" in values2) {
        sources2 = getSourceChannels.call(this, { title: values2.channels.title }, scales);
        format3 = formatTitle;
      } else {
        sources2 = getSourceChannels.call(this, values2.channels, scales);
        format3 = formatChannels;
      }
      const g = create("svg:g", context).call(applyIndirectStyles, this, dimensions, context).call(applyIndirectTextStyles, this).call(applyTransform, this, { x: X3 && x2, y: Y3 && y2 }).call(
        (g2) => g2.selectAll().data(index2).enter().append("g").attr("transform", (i) => `translate(${Math.round(px(i))},${Math.round(py(i))})`).call(applyDirectStyles, this).call((g3) => g3.append("path").attr("filter", pathFilter)).call(
          (g3) => g3.append("text").each(function(i) {
            const that = select(this);
            this.setAttribute("fill", "currentColor");
            this.setAttribute("fill-opacity", 1);
            this.setAttribute("stroke", "none");
            const lines = format3.call(mark, i, index2, sources2, scales, values2);
            if (typeof lines === "string") {
              for (const line4 of mark.splitLines(lines)) {
                renderLine(that, { value: mark.clipLine(line4) });
              }
            } else {
              const labels = /* @__PURE__ */ new Set();
              for (const line4 of lines) {
                const { label = "" } = line4;
                if (label && labels.has(label)) continue;
                else labels.add(label);
                renderLine(that, line4);
              }
            }
          })
        )
      );
      function renderLine(selection2, { label, value: value2, color: color3, opacity: opacity2 }) {
        label ??= "", value2 ??= "";
        const swatch = color3 != null || opacity2 != null;
        let title;
        let w = lineWidth * 100;
        const [j] = cut(label, w, widthof, ee2);
        if (j >= 0) {
          label = label.slice(0, j).trimEnd() + ellipsis;
          title = value2.trim();
          value2 = "";
        } else {
          if (label || !value2 && !swatch) value2 = " " + value2;
          const [k2] = cut(value2, w - widthof(label), widthof, ee2);
          if (k2 >= 0) {
            title = value2.trim();
            value2 = value2.slice(0, k2).trimEnd() + ellipsis;
          }
        }
        const line4 = selection2.append("tspan").attr("x", 0).attr("dy", `${lineHeight}em`).text("​");
        if (label) line4.append("tspan").attr("font-weight", "bold").text(label);
        if (value2) line4.append(() => document2.createTextNode(value2));
        if (swatch) line4.append("tspan").text(" ■").attr("fill", color3).attr("fill-opacity", opacity2).style("user-select", "none");
        if (title) line4.append("title").text(title);
      }
      function postrender() {
        const { width, height } = dimensions.facet ?? dimensions;
        g.selectChildren().each(function(i) {
          let { x: tx, width: w, height: h2 } = this.getBBox();
          w = Math.round(w), h2 = Math.round(h2);
          let a2 = anchor;
          if (a2 === void 0) {
            const x3 = px(i) + ox;
            const y3 = py(i) + oy;
            const fitLeft = x3 + w + m + r * 2 < width;
            const fitRight = x3 - w - m - r * 2 > 0;
            const fitTop = y3 + h2 + m + r * 2 < height;
            const fitBottom = y3 - h2 - m - r * 2 > 0;
            a2 = fitLeft && fitRight ? fitTop && fitBottom ? mark.preferredAnchor : fitBottom ? "bottom" : "top" : fitTop && fitBottom ? fitLeft ? "left" : "right" : (fitLeft || fitRight) && (fitTop || fitBottom) ? `${fitBottom ? "bottom" : "top"}-${fitLeft ? "left" : "right"}` : mark.preferredAnchor;
          }
          const path2 = this.firstChild;
          const text2 = this.lastChild;
          path2.setAttribute("d", getPath(a2, m, r, w, h2));
          if (tx) for (const t of text2.childNodes) t.setAttribute("x", -tx);
          text2.setAttribute("y", `${+getLineOffset(a2, text2.childNodes.length, lineHeight).toFixed(6)}em`);
          text2.setAttribute("transform", `translate(${getTextTranslate(a2, m, r, w, h2)})`);
        });
        g.attr("visibility", null);
      }
      if (index2.length) {
        g.attr("visibility", "hidden");
        if (svg.isConnected) Promise.resolve().then(postrender);
        else if (typeof requestAnimationFrame !== "undefined") requestAnimationFrame(postrender);
      }
      return g.node();
    }
  };
  function tip(data, { x: x2, y: y2, ...options } = {}) {
    if (options.frameAnchor === void 0) [x2, y2] = maybeTuple(x2, y2);
    return new Tip(data, { ...options, x: x2, y: y2 });
  }
  function getLineOffset(anchor, length2, lineHeight) {
    return /^top(?:-|$)/.test(anchor) ? 0.94 - lineHeight : /^bottom(?:-|$)/ ? -0.29 - length2 * lineHeight : length2 / 2 * lineHeight;
  }
  function getTextTranslate(anchor, m, r, width, height) {
    switch (anchor) {
      case "middle":
        return [-width / 2, height / 2];
      case "top-left":
        return [r, m + r];
      case "top":
        return [-width / 2, m / 2 + r];
      case "top-right":
        return [-width - r, m + r];
      case "right":
        return [-m / 2 - width - r, height / 2];
      case "bottom-left":
        return [r, -m - r];
      case "bottom":
        return [-width / 2, -m / 2 - r];
      case "bottom-right":
        return [-width - r, -m - r];
      case "left":
        return [r + m / 2, height / 2];
    }
  }
  function getPath(anchor, m, r, width, height) {
    const w = width + r * 2;
    const h2 = height + r * 2;
    switch (anchor) {
      case "middle":
        return `M${-w / 2},${-h2 / 2}h${w}v${h2}h${-w}z`;
      case "top-left":
        return `M0,0l${m},${m}h${w - m}v${h2}h${-w}z`;
      case "top":
        return `M0,0l${m / 2},${m / 2}h${(w - m) / 2}v${h2}h${-w}v${-h2}h${(w - m) / 2}z`;
      case "top-right":
        return `M0,0l${-m},${m}h${m - w}v${h2}h${w}z`;
      case "right":
        return `M0,0l${-m / 2},${-m / 2}v${m / 2 - h2 / 2}h${-w}v${h2}h${w}v${m / 2 - h2 / 2}z`;
      case "bottom-left":
        return `M0,0l${m},${-m}h${w - m}v${-h2}h${-w}z`;
      case "bottom":
        return `M0,0l${m / 2},${-m / 2}h${(w - m) / 2}v${-h2}h${-w}v${h2}h${(w - m) / 2}z`;
      case "bottom-right":
        return `M0,0l${-m},${-m}h${m - w}v${-h2}h${w}z`;
      case "left":
        return `M0,0l${m / 2},${-m / 2}v${m / 2 - h2 / 2}h${w}v${h2}h${-w}v${m / 2 - h2 / 2}z`;
    }
  }
  function getSourceChannels(channels, scales) {
    const sources2 = {};
    let format3 = this.format;
    format3 = maybeExpandPairedFormat(format3, channels, "x");
    format3 = maybeExpandPairedFormat(format3, channels, "y");
    this.format = format3;
    for (const key in format3) {
      const value2 = format3[key];
      if (value2 === null || value2 === false) {
        continue;
      } else if (key === "fx" || key === "fy") {
        sources2[key] = true;
      } else {
        const source = getSource(channels, key);
        if (source) sources2[key] = source;
      }
    }
    for (const key in channels) {
      if (key in sources2 || key in format3 || ignoreChannels.has(key)) continue;
      if ((key === "x" || key === "y") && channels.geometry) continue;
      const source = getSource(channels, key);
      if (source) {
        if (source.scale == null && source.defaultScale === "color") continue;
        sources2[key] = source;
      }
    }
    if (this.facet) {
      if (scales.fx && !("fx" in format3)) sources2.fx = true;
      if (scales.fy && !("fy" in format3)) sources2.fy = true;
    }
    for (const key in sources2) {
      const format4 = this.format[key];
      if (typeof format4 === "string") {
        const value2 = sources2[key]?.value ?? scales[key]?.domain() ?? [];
        this.format[key] = (isTemporal(value2) ? utcFormat : format)(format4);
      } else if (format4 === void 0 || format4 === true) {
        const scale = scales[key];
        this.format[key] = scale?.bandwidth ? inferTickFormat(scale, scale.domain()) : formatDefault;
      }
    }
    return sources2;
  }
  function maybeExpandPairedFormat(format3, channels, key) {
    if (!(key in format3)) return format3;
    const key1 = `${key}1`;
    const key2 = `${key}2`;
    if ((key1 in format3 || !(key1 in channels)) && (key2 in format3 || !(key2 in channels))) return format3;
    const entries = Object.entries(format3);
    const value2 = format3[key];
    entries.splice(entries.findIndex(([name]) => name === key) + 1, 0, [key1, value2], [key2, value2]);
    return Object.fromEntries(entries);
  }
  function formatTitle(i, index2, { title }) {
    return this.format.title(title.value[i], i);
  }
  function* formatChannels(i, index2, channels, scales, values2) {
    for (const key in channels) {
      if (key === "fx" || key === "fy") {
        yield {
          label: formatLabel(scales, channels, key),
          value: this.format[key](index2[key], i)
        };
        continue;
      }
      if (key === "x1" && "x2" in channels) continue;
      if (key === "y1" && "y2" in channels) continue;
      const channel = channels[key];
      if (key === "x2" && "x1" in channels) {
        yield {
          label: formatPairLabel(scales, channels, "x"),
          value: formatPair(this.format.x2, channels.x1, channel, i)
        };
      } else if (key === "y2" && "y1" in channels) {
        yield {
          label: formatPairLabel(scales, channels, "y"),
          value: formatPair(this.format.y2, channels.y1, channel, i)
        };
      } else {
        const value2 = channel.value[i];
        const scale = channel.scale;
        if (!defined(value2) && scale == null) continue;
        yield {
          label: formatLabel(scales, channels, key),
          value: this.format[key](value2, i),
          color: scale === "color" ? values2[key][i] : null,
          opacity: scale === "opacity" ? values2[key][i] : null
        };
      }
    }
  }
  function formatPair(formatValue, c1, c22, i) {
    return c22.hint?.length ? `${formatValue(c22.value[i] - c1.value[i], i)}` : `${formatValue(c1.value[i], i)}–${formatValue(c22.value[i], i)}`;
  }
  function formatPairLabel(scales, channels, key) {
    const l1 = formatLabel(scales, channels, `${key}1`, key);
    const l2 = formatLabel(scales, channels, `${key}2`, key);
    return l1 === l2 ? l1 : `${l1}–${l2}`;
  }
  function formatLabel(scales, channels, key, defaultLabel = key) {
    const channel = channels[key];
    const scale = scales[channel?.scale ?? key];
    return String(scale?.label ?? channel?.label ?? defaultLabel);
  }

  // node_modules/@observablehq/plot/src/plot.js
  function plot(options = {}) {
    const { facet, style, title, subtitle, caption, ariaLabel, ariaDescription } = options;
    const className = maybeClassName(options.className);
    const marks2 = options.marks === void 0 ? [] : flatMarks(options.marks);
    marks2.push(...inferTips(marks2));
    const topFacetState = maybeTopFacet(facet, options);
    const facetStateByMark = /* @__PURE__ */ new Map();
    for (const mark of marks2) {
      const facetState = maybeMarkFacet(mark, topFacetState, options);
      if (facetState) facetStateByMark.set(mark, facetState);
    }
    const channelsByScale = /* @__PURE__ */ new Map();
    if (topFacetState) addScaleChannels(channelsByScale, [topFacetState], options);
    addScaleChannels(channelsByScale, facetStateByMark, options);
    const axes = flatMarks(inferAxes(marks2, channelsByScale, options));
    for (const mark of axes) {
      const facetState = maybeMarkFacet(mark, topFacetState, options);
      if (facetState) facetStateByMark.set(mark, facetState);
    }
    marks2.unshift(...axes);
    let facets = createFacets(channelsByScale, options);
    if (facets !== void 0) {
      const topFacetsIndex = topFacetState ? facetFilter(facets, topFacetState) : void 0;
      for (const mark of marks2) {
        if (mark.facet === null || mark.facet === "super") continue;
        const facetState = facetStateByMark.get(mark);
        if (facetState === void 0) continue;
        facetState.facetsIndex = mark.fx != null || mark.fy != null ? facetFilter(facets, facetState) : topFacetsIndex;
      }
      const nonEmpty = /* @__PURE__ */ new Set();
      for (const { facetsIndex } of facetStateByMark.values()) {
        facetsIndex?.forEach((index2, i) => {
          if (index2?.length > 0) {
            nonEmpty.add(i);
          }
        });
      }
      facets.forEach(
        0 < nonEmpty.size && nonEmpty.size < facets.length ? (f, i) => f.empty = !nonEmpty.has(i) : (f) => f.empty = false
      );
      for (const mark of marks2) {
        if (mark.facet === "exclude") {
          const facetState = facetStateByMark.get(mark);
          if (facetState !== void 0) facetState.facetsIndex = facetExclude(facetState.facetsIndex);
        }
      }
    }
    for (const key of registry.keys()) {
      if (isScaleOptions(options[key]) && key !== "fx" && key !== "fy") {
        channelsByScale.set(key, []);
      }
    }
    const stateByMark = /* @__PURE__ */ new Map();
    for (const mark of marks2) {
      if (stateByMark.has(mark)) throw new Error("duplicate mark; each mark must be unique");
      const { facetsIndex, channels: facetChannels } = facetStateByMark.get(mark) ?? {};
      const { data, facets: facets2, channels } = mark.initialize(facetsIndex, facetChannels, options);
      applyScaleTransforms(channels, options);
      stateByMark.set(mark, { data, facets: facets2, channels });
    }
    const scaleDescriptors = createScales(addScaleChannels(channelsByScale, stateByMark, options), options);
    const dimensions = createDimensions(scaleDescriptors, marks2, options);
    autoScaleRange(scaleDescriptors, dimensions);
    const scales = createScaleFunctions(scaleDescriptors);
    const { fx, fy } = scales;
    const subdimensions = fx || fy ? innerDimensions(scaleDescriptors, dimensions) : dimensions;
    const superdimensions = fx || fy ? actualDimensions(scales, dimensions) : dimensions;
    const context = createContext(options);
    const document2 = context.document;
    const svg = creator("svg").call(document2.documentElement);
    let figure2 = svg;
    context.ownerSVGElement = svg;
    context.className = className;
    context.projection = createProjection(options, subdimensions);
    context.path = function() {
      return index(this.projection ?? xyProjection(scales));
    };
    context.filterFacets = (data, channels) => {
      return facetFilter(facets, { channels, groups: facetGroups(data, channels) });
    };
    context.getMarkState = (mark) => {
      const state2 = stateByMark.get(mark);
      const facetState = facetStateByMark.get(mark);
      return { ...state2, channels: { ...state2.channels, ...facetState?.channels } };
    };
    context.dispatchValue = (value2) => {
      if (figure2.value === value2) return;
      figure2.value = value2;
      figure2.dispatchEvent(new context.document.defaultView.Event("input", { bubbles: true }));
    };
    const newByScale = /* @__PURE__ */ new Set();
    for (const [mark, state2] of stateByMark) {
      if (mark.initializer != null) {
        const dimensions2 = mark.facet === "super" ? superdimensions : subdimensions;
        const update = mark.initializer(state2.data, state2.facets, state2.channels, scales, dimensions2, context);
        if (update.data !== void 0) {
          state2.data = update.data;
        }
        if (update.facets !== void 0) {
          state2.facets = update.facets;
        }
        if (update.channels !== void 0) {
          const { fx: fx2, fy: fy2, ...channels } = update.channels;
          inferChannelScales(channels);
          Object.assign(state2.channels, channels);
          for (const channel of Object.values(channels)) {
            const { scale } = channel;
            if (scale != null && !isPosition(registry.get(scale))) {
              applyScaleTransform(channel, options);
              newByScale.add(scale);
            }
          }
          if (fx2 != null || fy2 != null) facetStateByMark.set(mark, true);
        }
      }
    }
    if (newByScale.size) {
      const newChannelsByScale = /* @__PURE__ */ new Map();
      addScaleChannels(newChannelsByScale, stateByMark, options, (key) => newByScale.has(key));
      addScaleChannels(channelsByScale, stateByMark, options, (key) => newByScale.has(key));
      const newScaleDescriptors = inheritScaleLabels(createScales(newChannelsByScale, options), scaleDescriptors);
      const { scales: newExposedScales, ...newScales } = createScaleFunctions(newScaleDescriptors);
      Object.assign(scaleDescriptors, newScaleDescriptors);
      Object.assign(scales, newScales);
      Object.assign(scales.scales, newExposedScales);
    }
    let facetDomains, facetTranslate;
    if (facets !== void 0) {
      facetDomains = { x: fx?.domain(), y: fy?.domain() };
      facets = recreateFacets(facets, facetDomains);
      facetTranslate = facetTranslator(fx, fy, dimensions);
    }
    for (const [mark, state2] of stateByMark) {
      state2.values = mark.scale(state2.channels, scales, context);
    }
    const { width, height } = dimensions;
    select(svg).attr("class", className).attr("fill", "currentColor").attr("font-family", "system-ui, sans-serif").attr("font-size", 10).attr("text-anchor", "middle").attr("width", width).attr("height", height).attr("viewBox", `0 0 ${width} ${height}`).attr("aria-label", ariaLabel).attr("aria-description", ariaDescription).call(
      (svg2) => (
        // Warning: if you edit this, change defaultClassName.
        svg2.append("style").text(
          `:where(.${className}) {
  --plot-background: white;
  display: block;
  height: auto;
  height: intrinsic;
  max-width: 100%;
}
:where(.${className} text),
:where(.${className} tspan) {
  white-space: pre;
}`
        )
      )
    ).call(applyInlineStyles, style);
    for (const mark of marks2) {
      const { channels, values: values2, facets: indexes } = stateByMark.get(mark);
      if (facets === void 0 || mark.facet === "super") {
        let index2 = null;
        if (indexes) {
          index2 = indexes[0];
          index2 = mark.filter(index2, channels, values2);
          if (index2.length === 0) continue;
        }
        const node2 = mark.render(index2, scales, values2, superdimensions, context);
        if (node2 == null) continue;
        svg.appendChild(node2);
      } else {
        let g;
        for (const f of facets) {
          if (!(mark.facetAnchor?.(facets, facetDomains, f) ?? !f.empty)) continue;
          let index2 = null;
          if (indexes) {
            const faceted = facetStateByMark.has(mark);
            index2 = indexes[faceted ? f.i : 0];
            index2 = mark.filter(index2, channels, values2);
            if (index2.length === 0) continue;
            if (!faceted && index2 === indexes[0]) index2 = subarray(index2);
            index2.fx = f.x, index2.fy = f.y, index2.fi = f.i;
          }
          const node2 = mark.render(index2, scales, values2, subdimensions, context);
          if (node2 == null) continue;
          (g ??= select(svg).append("g")).append(() => node2).datum(f);
          for (const name of ["aria-label", "aria-description", "aria-hidden", "transform"]) {
            if (node2.hasAttribute(name)) {
              g.attr(name, node2.getAttribute(name));
              node2.removeAttribute(name);
            }
          }
        }
        g?.selectChildren().each(facetTranslate);
      }
    }
    const legends = createLegends(scaleDescriptors, context, options);
    const { figure: figured = title != null || subtitle != null || caption != null || legends.length > 0 } = options;
    if (figured) {
      figure2 = document2.createElement("figure");
      figure2.className = `${className}-figure`;
      figure2.style.maxWidth = "initial";
      if (title != null) figure2.append(createTitleElement(document2, title, "h2"));
      if (subtitle != null) figure2.append(createTitleElement(document2, subtitle, "h3"));
      figure2.append(...legends, svg);
      if (caption != null) figure2.append(createFigcaption(document2, caption));
      if ("value" in svg) figure2.value = svg.value, delete svg.value;
    }
    figure2.scale = exposeScales(scales.scales);
    figure2.legend = exposeLegends(scaleDescriptors, context, options);
    const w = consumeWarnings();
    if (w > 0) {
      select(svg).append("text").attr("x", width).attr("y", 20).attr("dy", "-1em").attr("text-anchor", "end").attr("font-family", "initial").text("⚠️").append("title").text(`${w.toLocaleString("en-US")} warning${w === 1 ? "" : "s"}. Please check the console.`);
    }
    return figure2;
  }
  function createTitleElement(document2, contents, tag) {
    if (contents.ownerDocument) return contents;
    const e = document2.createElement(tag);
    e.append(contents);
    return e;
  }
  function createFigcaption(document2, caption) {
    const e = document2.createElement("figcaption");
    e.append(caption);
    return e;
  }
  function flatMarks(marks2) {
    return marks2.flat(Infinity).filter((mark) => mark != null).map(markify);
  }
  function markify(mark) {
    return typeof mark.render === "function" ? mark : new Render(mark);
  }
  var Render = class extends Mark {
    constructor(render) {
      if (typeof render !== "function") throw new TypeError("invalid mark; missing render function");
      super();
      this.render = render;
    }
    render() {
    }
  };
  function applyScaleTransforms(channels, options) {
    for (const name in channels) applyScaleTransform(channels[name], options);
    return channels;
  }
  function applyScaleTransform(channel, options) {
    const { scale, transform: t = true } = channel;
    if (scale == null || !t) return;
    const {
      type,
      percent,
      interval,
      transform: transform2 = percent ? (x2) => x2 == null ? NaN : x2 * 100 : maybeIntervalTransform(interval, type)
    } = options[scale] ?? {};
    if (transform2 == null) return;
    channel.value = map2(channel.value, transform2);
    channel.transform = false;
  }
  function inferChannelScales(channels) {
    for (const name in channels) {
      inferChannelScale(name, channels[name]);
    }
  }
  function addScaleChannels(channelsByScale, stateByMark, options, filter2 = yes) {
    for (const { channels } of stateByMark.values()) {
      for (const name in channels) {
        const channel = channels[name];
        const { scale } = channel;
        if (scale != null && filter2(scale)) {
          if (scale === "projection") {
            if (!hasProjection(options)) {
              const gx = options.x?.domain === void 0;
              const gy = options.y?.domain === void 0;
              if (gx || gy) {
                const [x2, y2] = getGeometryChannels(channel);
                if (gx) addScaleChannel(channelsByScale, "x", x2);
                if (gy) addScaleChannel(channelsByScale, "y", y2);
              }
            }
          } else {
            addScaleChannel(channelsByScale, scale, channel);
          }
        }
      }
    }
    return channelsByScale;
  }
  function addScaleChannel(channelsByScale, scale, channel) {
    const scaleChannels = channelsByScale.get(scale);
    if (scaleChannels !== void 0) scaleChannels.push(channel);
    else channelsByScale.set(scale, [channel]);
  }
  function maybeTopFacet(facet, options) {
    if (facet == null) return;
    const { x: x2, y: y2 } = facet;
    if (x2 == null && y2 == null) return;
    const data = dataify(facet.data);
    if (data == null) throw new Error("missing facet data");
    const channels = {};
    if (x2 != null) channels.fx = createChannel(data, { value: x2, scale: "fx" });
    if (y2 != null) channels.fy = createChannel(data, { value: y2, scale: "fy" });
    applyScaleTransforms(channels, options);
    const groups = facetGroups(data, channels);
    return { channels, groups, data: facet.data };
  }
  function maybeMarkFacet(mark, topFacetState, options) {
    if (mark.facet === null || mark.facet === "super") return;
    const { fx, fy } = mark;
    if (fx != null || fy != null) {
      const data2 = dataify(mark.data ?? fx ?? fy);
      if (data2 === void 0) throw new Error(`missing facet data in ${mark.ariaLabel}`);
      if (data2 === null) return;
      const channels2 = {};
      if (fx != null) channels2.fx = createChannel(data2, { value: fx, scale: "fx" });
      if (fy != null) channels2.fy = createChannel(data2, { value: fy, scale: "fy" });
      applyScaleTransforms(channels2, options);
      return { channels: channels2, groups: facetGroups(data2, channels2) };
    }
    if (topFacetState === void 0) return;
    const { channels, groups, data } = topFacetState;
    if (mark.facet !== "auto" || mark.data === data) return { channels, groups };
    if (data.length > 0 && (groups.size > 1 || groups.size === 1 && channels.fx && channels.fy && [...groups][0][1].size > 1) && lengthof(dataify(mark.data)) === lengthof(data)) {
      warn(
        `Warning: the ${mark.ariaLabel} mark appears to use faceted data, but isn’t faceted. The mark data has the same length as the facet data and the mark facet option is "auto", but the mark data and facet data are distinct. If this mark should be faceted, set the mark facet option to true; otherwise, suppress this warning by setting the mark facet option to false.`
      );
    }
  }
  function derive(mark, options = {}) {
    return initializer({ ...options, x: null, y: null }, (data, facets, channels, scales, dimensions, context) => {
      return context.getMarkState(mark);
    });
  }
  function inferTips(marks2) {
    const tips = [];
    for (const mark of marks2) {
      let tipOptions = mark.tip;
      if (tipOptions) {
        if (tipOptions === true) tipOptions = {};
        else if (typeof tipOptions === "string") tipOptions = { pointer: tipOptions };
        let { pointer: p, preferredAnchor: a2 } = tipOptions;
        p = /^x$/i.test(p) ? pointerX : /^y$/i.test(p) ? pointerY : pointer2;
        tipOptions = p(derive(mark, tipOptions));
        tipOptions.title = null;
        if (a2 === void 0) tipOptions.preferredAnchor = p === pointerY ? "left" : "bottom";
        const t = tip(mark.data, tipOptions);
        t.facet = mark.facet;
        t.facetAnchor = mark.facetAnchor;
        tips.push(t);
      }
    }
    return tips;
  }
  function inferAxes(marks2, channelsByScale, options) {
    let {
      projection: projection3,
      x: x2 = {},
      y: y2 = {},
      fx = {},
      fy = {},
      axis: axis2,
      grid,
      facet = {},
      facet: { axis: facetAxis = axis2, grid: facetGrid } = facet,
      x: { axis: xAxis = axis2, grid: xGrid = xAxis === null ? null : grid } = x2,
      y: { axis: yAxis = axis2, grid: yGrid = yAxis === null ? null : grid } = y2,
      fx: { axis: fxAxis = facetAxis, grid: fxGrid = fxAxis === null ? null : facetGrid } = fx,
      fy: { axis: fyAxis = facetAxis, grid: fyGrid = fyAxis === null ? null : facetGrid } = fy
    } = options;
    if (projection3 || !isScaleOptions(x2) && !hasPositionChannel("x", marks2)) xAxis = xGrid = null;
    if (projection3 || !isScaleOptions(y2) && !hasPositionChannel("y", marks2)) yAxis = yGrid = null;
    if (!channelsByScale.has("fx")) fxAxis = fxGrid = null;
    if (!channelsByScale.has("fy")) fyAxis = fyGrid = null;
    if (xAxis === void 0) xAxis = !hasAxis(marks2, "x");
    if (yAxis === void 0) yAxis = !hasAxis(marks2, "y");
    if (fxAxis === void 0) fxAxis = !hasAxis(marks2, "fx");
    if (fyAxis === void 0) fyAxis = !hasAxis(marks2, "fy");
    if (xAxis === true) xAxis = "bottom";
    if (yAxis === true) yAxis = "left";
    if (fxAxis === true) fxAxis = xAxis === "top" || xAxis === null ? "bottom" : "top";
    if (fyAxis === true) fyAxis = yAxis === "right" || yAxis === null ? "left" : "right";
    const axes = [];
    maybeGrid(axes, fyGrid, gridFy, fy);
    maybeAxis(axes, fyAxis, axisFy, "right", "left", facet, fy);
    maybeGrid(axes, fxGrid, gridFx, fx);
    maybeAxis(axes, fxAxis, axisFx, "top", "bottom", facet, fx);
    maybeGrid(axes, yGrid, gridY, y2);
    maybeAxis(axes, yAxis, axisY, "left", "right", options, y2);
    maybeGrid(axes, xGrid, gridX, x2);
    maybeAxis(axes, xAxis, axisX, "bottom", "top", options, x2);
    return axes;
  }
  function maybeAxis(axes, axis2, axisType, primary, secondary, defaults10, options) {
    if (!axis2) return;
    const both = isBoth(axis2);
    options = axisOptions(both ? primary : axis2, defaults10, options);
    const { line: line4 } = options;
    if ((axisType === axisY || axisType === axisX) && line4 && !isNone(line4)) axes.push(frame(lineOptions(options)));
    axes.push(axisType(options));
    if (both) axes.push(axisType({ ...options, anchor: secondary, label: null }));
  }
  function maybeGrid(axes, grid, gridType, options) {
    if (!grid || isNone(grid)) return;
    axes.push(gridType(gridOptions(grid, options)));
  }
  function isBoth(value2) {
    return /^\s*both\s*$/i.test(value2);
  }
  function axisOptions(anchor, defaults10, {
    line: line4 = defaults10.line,
    ticks: ticks2,
    tickSize,
    tickSpacing,
    tickPadding,
    tickFormat: tickFormat2,
    tickRotate,
    fontVariant,
    ariaLabel,
    ariaDescription,
    label = defaults10.label,
    labelAnchor,
    labelArrow = defaults10.labelArrow,
    labelOffset
  }) {
    return {
      anchor,
      line: line4,
      ticks: ticks2,
      tickSize,
      tickSpacing,
      tickPadding,
      tickFormat: tickFormat2,
      tickRotate,
      fontVariant,
      ariaLabel,
      ariaDescription,
      label,
      labelAnchor,
      labelArrow,
      labelOffset
    };
  }
  function lineOptions(options) {
    const { anchor, line: line4 } = options;
    return { anchor, facetAnchor: anchor + "-empty", stroke: line4 === true ? void 0 : line4 };
  }
  function gridOptions(grid, {
    stroke = isColor(grid) ? grid : void 0,
    ticks: ticks2 = isGridTicks(grid) ? grid : void 0,
    tickSpacing,
    ariaLabel,
    ariaDescription
  }) {
    return {
      stroke,
      ticks: ticks2,
      tickSpacing,
      ariaLabel,
      ariaDescription
    };
  }
  function isGridTicks(grid) {
    switch (typeof grid) {
      case "number":
        return true;
      case "string":
        return !isColor(grid);
    }
    return isIterable(grid) || typeof grid?.range === "function";
  }
  function hasAxis(marks2, k2) {
    const prefix = `${k2}-axis `;
    return marks2.some((m) => m.ariaLabel?.startsWith(prefix));
  }
  function hasPositionChannel(k2, marks2) {
    for (const mark of marks2) {
      for (const key in mark.channels) {
        const { scale } = mark.channels[key];
        if (scale === k2 || scale === "projection") {
          return true;
        }
      }
    }
    return false;
  }
  function inheritScaleLabels(newScales, scales) {
    for (const key in newScales) {
      const newScale = newScales[key];
      const scale = scales[key];
      if (newScale.label === void 0 && scale) {
        newScale.label = scale.label;
      }
    }
    return newScales;
  }
  function actualDimensions({ fx, fy }, dimensions) {
    const { marginTop, marginRight, marginBottom, marginLeft, width, height } = outerDimensions(dimensions);
    const fxr = fx && outerRange(fx);
    const fyr = fy && outerRange(fy);
    return {
      marginTop: fy ? fyr[0] : marginTop,
      marginRight: fx ? width - fxr[1] : marginRight,
      marginBottom: fy ? height - fyr[1] : marginBottom,
      marginLeft: fx ? fxr[0] : marginLeft,
      // Some marks, namely the x- and y-axis labels, want to know what the
      // desired (rather than actual) margins are for positioning.
      inset: {
        marginTop: dimensions.marginTop,
        marginRight: dimensions.marginRight,
        marginBottom: dimensions.marginBottom,
        marginLeft: dimensions.marginLeft
      },
      width,
      height
    };
  }
  function outerRange(scale) {
    const domain = scale.domain();
    if (domain.length === 0) return [0, scale.bandwidth()];
    let x12 = scale(domain[0]);
    let x2 = scale(domain[domain.length - 1]);
    if (x2 < x12) [x12, x2] = [x2, x12];
    return [x12, x2 + scale.bandwidth()];
  }

  // node_modules/@observablehq/plot/src/curve.js
  var curves = /* @__PURE__ */ new Map([
    ["basis", basis2],
    ["basis-closed", basisClosed2],
    ["basis-open", basisOpen],
    ["bundle", bundle],
    ["bump-x", bumpX],
    ["bump-y", bumpY],
    ["cardinal", cardinal],
    ["cardinal-closed", cardinalClosed],
    ["cardinal-open", cardinalOpen],
    ["catmull-rom", catmullRom],
    ["catmull-rom-closed", catmullRomClosed],
    ["catmull-rom-open", catmullRomOpen],
    ["linear", curveLinear],
    ["linear-closed", linearClosed],
    ["monotone-x", monotoneX],
    ["monotone-y", monotoneY],
    ["natural", natural],
    ["step", step],
    ["step-after", stepAfter],
    ["step-before", stepBefore]
  ]);
  function maybeCurve(curve2 = curveLinear, tension) {
    if (typeof curve2 === "function") return curve2;
    const c3 = curves.get(`${curve2}`.toLowerCase());
    if (!c3) throw new Error(`unknown curve: ${curve2}`);
    if (tension !== void 0) {
      if ("beta" in c3) {
        return c3.beta(tension);
      } else if ("tension" in c3) {
        return c3.tension(tension);
      } else if ("alpha" in c3) {
        return c3.alpha(tension);
      }
    }
    return c3;
  }
  function maybeCurveAuto(curve2 = curveAuto, tension) {
    return typeof curve2 !== "function" && `${curve2}`.toLowerCase() === "auto" ? curveAuto : maybeCurve(curve2, tension);
  }
  function curveAuto(context) {
    return curveLinear(context);
  }

  // node_modules/@observablehq/plot/src/transforms/bin.js
  function binX(outputs = { y: "count" }, options = {}) {
    [outputs, options] = mergeOptions2(outputs, options);
    const { x: x2, y: y2 } = options;
    return binn(maybeBinValue(x2, options, identity6), null, null, y2, outputs, maybeInsetX(options));
  }
  function maybeDenseInterval(bin, k2, options = {}) {
    if (options?.interval == null) return options;
    const { reduce = reduceFirst } = options;
    const outputs = { filter: null };
    if (options[k2] != null) outputs[k2] = reduce;
    if (options[`${k2}1`] != null) outputs[`${k2}1`] = reduce;
    if (options[`${k2}2`] != null) outputs[`${k2}2`] = reduce;
    return bin(outputs, options);
  }
  function maybeDenseIntervalX(options = {}) {
    return maybeDenseInterval(binX, "y", withTip(options, "x"));
  }
  function binn(bx, by, gx, gy, {
    data: reduceData = reduceIdentity,
    // TODO avoid materializing when unused?
    filter: filter2 = reduceCount,
    // return only non-empty bins by default
    sort: sort3,
    reverse: reverse2,
    ...outputs
    // output channel definitions
  } = {}, inputs = {}) {
    bx = maybeBin(bx);
    by = maybeBin(by);
    outputs = maybeBinOutputs(outputs, inputs);
    reduceData = maybeBinReduce(reduceData, identity6);
    sort3 = sort3 == null ? void 0 : maybeBinOutput("sort", sort3, inputs);
    filter2 = filter2 == null ? void 0 : maybeBinEvaluator("filter", filter2, inputs);
    if (gx != null && hasOutput(outputs, "x", "x1", "x2")) gx = null;
    if (gy != null && hasOutput(outputs, "y", "y1", "y2")) gy = null;
    const [BX1, setBX1] = maybeColumn(bx);
    const [BX2, setBX2] = maybeColumn(bx);
    const [BY1, setBY1] = maybeColumn(by);
    const [BY2, setBY2] = maybeColumn(by);
    const [k2, gk] = gx != null ? [gx, "x"] : gy != null ? [gy, "y"] : [];
    const [GK, setGK] = maybeColumn(k2);
    const {
      x: x2,
      y: y2,
      z: z2,
      fill,
      stroke,
      x1: x12,
      x2: x22,
      // consumed if x is an output
      y1: y12,
      y2: y22,
      // consumed if y is an output
      domain,
      cumulative,
      thresholds,
      interval,
      ...options
    } = inputs;
    const [GZ, setGZ] = maybeColumn(z2);
    const [vfill] = maybeColorChannel(fill);
    const [vstroke] = maybeColorChannel(stroke);
    const [GF, setGF] = maybeColumn(vfill);
    const [GS, setGS] = maybeColumn(vstroke);
    return {
      ..."z" in inputs && { z: GZ || z2 },
      ..."fill" in inputs && { fill: GF || fill },
      ..."stroke" in inputs && { stroke: GS || stroke },
      ...basic(options, (data, facets, plotOptions) => {
        const K3 = maybeApplyInterval(valueof(data, k2), plotOptions?.[gk]);
        const Z3 = valueof(data, z2);
        const F = valueof(data, vfill);
        const S2 = valueof(data, vstroke);
        const G = maybeSubgroup(outputs, { z: Z3, fill: F, stroke: S2 });
        const groupFacets = [];
        const groupData = [];
        const GK2 = K3 && setGK([]);
        const GZ2 = Z3 && setGZ([]);
        const GF2 = F && setGF([]);
        const GS2 = S2 && setGS([]);
        const BX12 = bx && setBX1([]);
        const BX22 = bx && setBX2([]);
        const BY12 = by && setBY1([]);
        const BY22 = by && setBY2([]);
        const bin = bing(bx, by, data);
        let i = 0;
        for (const o of outputs) o.initialize(data);
        if (sort3) sort3.initialize(data);
        if (filter2) filter2.initialize(data);
        for (const facet of facets) {
          const groupFacet = [];
          for (const o of outputs) o.scope("facet", facet);
          if (sort3) sort3.scope("facet", facet);
          if (filter2) filter2.scope("facet", facet);
          for (const [f, I] of maybeGroup(facet, G)) {
            for (const [k3, g] of maybeGroup(I, K3)) {
              for (const [b, extent3] of bin(g)) {
                if (G) extent3.z = f;
                if (filter2 && !filter2.reduce(b, extent3)) continue;
                groupFacet.push(i++);
                groupData.push(reduceData.reduceIndex(b, data, extent3));
                if (K3) GK2.push(k3);
                if (Z3) GZ2.push(G === Z3 ? f : Z3[(b.length > 0 ? b : g)[0]]);
                if (F) GF2.push(G === F ? f : F[(b.length > 0 ? b : g)[0]]);
                if (S2) GS2.push(G === S2 ? f : S2[(b.length > 0 ? b : g)[0]]);
                if (BX12) BX12.push(extent3.x1), BX22.push(extent3.x2);
                if (BY12) BY12.push(extent3.y1), BY22.push(extent3.y2);
                for (const o of outputs) o.reduce(b, extent3);
                if (sort3) sort3.reduce(b, extent3);
              }
            }
          }
          groupFacets.push(groupFacet);
        }
        maybeSort(groupFacets, sort3, reverse2);
        return { data: groupData, facets: groupFacets };
      }),
      ...!hasOutput(outputs, "x") && (BX1 ? { x1: BX1, x2: BX2, x: mid(BX1, BX2) } : { x: x2, x1: x12, x2: x22 }),
      ...!hasOutput(outputs, "y") && (BY1 ? { y1: BY1, y2: BY2, y: mid(BY1, BY2) } : { y: y2, y1: y12, y2: y22 }),
      ...GK && { [gk]: GK },
      ...Object.fromEntries(outputs.map(({ name, output }) => [name, output]))
    };
  }
  function mergeOptions2({ cumulative, domain, thresholds, interval, ...outputs }, options) {
    return [outputs, { cumulative, domain, thresholds, interval, ...options }];
  }
  function maybeBinValue(value2, { cumulative, domain, thresholds, interval }, defaultValue) {
    value2 = { ...maybeValue(value2) };
    if (value2.domain === void 0) value2.domain = domain;
    if (value2.cumulative === void 0) value2.cumulative = cumulative;
    if (value2.thresholds === void 0) value2.thresholds = thresholds;
    if (value2.interval === void 0) value2.interval = interval;
    if (value2.value === void 0) value2.value = defaultValue;
    value2.thresholds = maybeThresholds(value2.thresholds, value2.interval);
    return value2;
  }
  function maybeBin(options) {
    if (options == null) return;
    const { value: value2, cumulative, domain = extent, thresholds } = options;
    const bin = (data) => {
      let V2 = valueof(data, value2);
      let T2;
      if (isTemporal(V2) || isTimeThresholds(thresholds)) {
        V2 = map2(V2, coerceDate, Float64Array);
        let [min3, max2] = typeof domain === "function" ? domain(V2) : domain;
        let t = typeof thresholds === "function" && !isInterval(thresholds) ? thresholds(V2, min3, max2) : thresholds;
        if (typeof t === "number") t = utcTickInterval(min3, max2, t);
        if (isInterval(t)) {
          if (domain === extent) {
            min3 = t.floor(min3);
            max2 = t.offset(t.floor(max2));
          }
          t = t.range(min3, t.offset(max2));
        }
        T2 = t;
      } else {
        V2 = coerceNumbers(V2);
        let [min3, max2] = typeof domain === "function" ? domain(V2) : domain;
        let t = typeof thresholds === "function" && !isInterval(thresholds) ? thresholds(V2, min3, max2) : thresholds;
        if (typeof t === "number") {
          if (domain === extent) {
            let step2 = tickIncrement(min3, max2, t);
            if (isFinite(step2)) {
              if (step2 > 0) {
                let r0 = Math.round(min3 / step2);
                let r1 = Math.round(max2 / step2);
                if (!(r0 * step2 <= min3)) --r0;
                if (!(r1 * step2 > max2)) ++r1;
                let n = r1 - r0 + 1;
                t = new Float64Array(n);
                for (let i = 0; i < n; ++i) t[i] = (r0 + i) * step2;
              } else if (step2 < 0) {
                step2 = -step2;
                let r0 = Math.round(min3 * step2);
                let r1 = Math.round(max2 * step2);
                if (!(r0 / step2 <= min3)) --r0;
                if (!(r1 / step2 > max2)) ++r1;
                let n = r1 - r0 + 1;
                t = new Float64Array(n);
                for (let i = 0; i < n; ++i) t[i] = (r0 + i) / step2;
              } else {
                t = [min3];
              }
            } else {
              t = [min3];
            }
          } else {
            t = ticks(min3, max2, t);
          }
        } else if (isInterval(t)) {
          if (domain === extent) {
            min3 = t.floor(min3);
            max2 = t.offset(t.floor(max2));
          }
          t = t.range(min3, t.offset(max2));
        }
        T2 = t;
      }
      const E2 = [];
      if (T2.length === 1) E2.push([T2[0], T2[0]]);
      else for (let i = 1; i < T2.length; ++i) E2.push([T2[i - 1], T2[i]]);
      E2.bin = (cumulative < 0 ? bin1cn : cumulative > 0 ? bin1cp : bin1)(E2, T2, V2);
      return E2;
    };
    bin.label = labelof(value2);
    return bin;
  }
  function maybeThresholds(thresholds, interval, defaultThresholds = thresholdAuto) {
    if (thresholds === void 0) {
      return interval === void 0 ? defaultThresholds : maybeRangeInterval(interval);
    }
    if (typeof thresholds === "string") {
      switch (thresholds.toLowerCase()) {
        case "freedman-diaconis":
          return thresholdFreedmanDiaconis;
        case "scott":
          return thresholdScott;
        case "sturges":
          return thresholdSturges;
        case "auto":
          return thresholdAuto;
      }
      return utcInterval(thresholds);
    }
    return thresholds;
  }
  function maybeBinOutputs(outputs, inputs) {
    return maybeOutputs(outputs, inputs, maybeBinOutput);
  }
  function maybeBinOutput(name, reduce, inputs) {
    return maybeOutput(name, reduce, inputs, maybeBinEvaluator);
  }
  function maybeBinEvaluator(name, reduce, inputs) {
    return maybeEvaluator(name, reduce, inputs, maybeBinReduce);
  }
  function maybeBinReduce(reduce, value2) {
    return maybeReduce(reduce, value2, maybeBinReduceFallback);
  }
  function maybeBinReduceFallback(reduce) {
    switch (`${reduce}`.toLowerCase()) {
      case "x":
        return reduceX;
      case "x1":
        return reduceX1;
      case "x2":
        return reduceX2;
      case "y":
        return reduceY;
      case "y1":
        return reduceY1;
      case "y2":
        return reduceY2;
      case "z":
        return reduceZ;
    }
    throw new Error(`invalid bin reduce: ${reduce}`);
  }
  function thresholdAuto(values2, min3, max2) {
    return Math.min(200, thresholdScott(values2, min3, max2));
  }
  function isTimeThresholds(t) {
    return isTimeInterval(t) || isIterable(t) && isTemporal(t);
  }
  function bing(bx, by, data) {
    const EX = bx?.(data);
    const EY = by?.(data);
    return EX && EY ? function* (I) {
      const X3 = EX.bin(I);
      for (const [ix, [x12, x2]] of EX.entries()) {
        const Y3 = EY.bin(X3[ix]);
        for (const [iy, [y12, y2]] of EY.entries()) {
          yield [Y3[iy], { data, x1: x12, y1: y12, x2, y2 }];
        }
      }
    } : EX ? function* (I) {
      const X3 = EX.bin(I);
      for (const [i, [x12, x2]] of EX.entries()) {
        yield [X3[i], { data, x1: x12, x2 }];
      }
    } : function* (I) {
      const Y3 = EY.bin(I);
      for (const [i, [y12, y2]] of EY.entries()) {
        yield [Y3[i], { data, y1: y12, y2 }];
      }
    };
  }
  function bin1(E2, T2, V2) {
    T2 = coerceNumbers(T2);
    return (I) => {
      const B2 = E2.map(() => []);
      for (const i of I) B2[bisectRight(T2, V2[i]) - 1]?.push(i);
      return B2;
    };
  }
  function bin1cp(E2, T2, V2) {
    const bin = bin1(E2, T2, V2);
    return (I) => {
      const B2 = bin(I);
      for (let i = 1, n = B2.length; i < n; ++i) {
        const C2 = B2[i - 1];
        const b = B2[i];
        for (const j of C2) b.push(j);
      }
      return B2;
    };
  }
  function bin1cn(E2, T2, V2) {
    const bin = bin1(E2, T2, V2);
    return (I) => {
      const B2 = bin(I);
      for (let i = B2.length - 2; i >= 0; --i) {
        const C2 = B2[i + 1];
        const b = B2[i];
        for (const j of C2) b.push(j);
      }
      return B2;
    };
  }
  function mid1(x12, x2) {
    const m = (+x12 + +x2) / 2;
    return x12 instanceof Date ? new Date(m) : m;
  }
  var reduceX = {
    reduceIndex(I, X3, { x1: x12, x2 }) {
      return mid1(x12, x2);
    }
  };
  var reduceY = {
    reduceIndex(I, X3, { y1: y12, y2 }) {
      return mid1(y12, y2);
    }
  };
  var reduceX1 = {
    reduceIndex(I, X3, { x1: x12 }) {
      return x12;
    }
  };
  var reduceX2 = {
    reduceIndex(I, X3, { x2 }) {
      return x2;
    }
  };
  var reduceY1 = {
    reduceIndex(I, X3, { y1: y12 }) {
      return y12;
    }
  };
  var reduceY2 = {
    reduceIndex(I, X3, { y2 }) {
      return y2;
    }
  };

  // node_modules/@observablehq/plot/src/marks/area.js
  var defaults6 = {
    ariaLabel: "area",
    strokeWidth: 1,
    strokeLinecap: "round",
    strokeLinejoin: "round",
    strokeMiterlimit: 1
  };
  var Area = class extends Mark {
    constructor(data, options = {}) {
      const { x1: x12, y1: y12, x2, y2, z: z2, curve: curve2, tension } = options;
      super(
        data,
        {
          x1: { value: x12, scale: "x" },
          y1: { value: y12, scale: "y" },
          x2: { value: x2, scale: "x", optional: true },
          y2: { value: y2, scale: "y", optional: true },
          z: { value: maybeZ(options), optional: true }
        },
        options,
        defaults6
      );
      this.z = z2;
      this.curve = maybeCurve(curve2, tension);
    }
    filter(index2) {
      return index2;
    }
    render(index2, scales, channels, dimensions, context) {
      const { x1: X12, y1: Y12, x2: X22 = X12, y2: Y22 = Y12 } = channels;
      return create("svg:g", context).call(applyIndirectStyles, this, dimensions, context).call(applyTransform, this, scales, 0, 0).call(
        (g) => g.selectAll().data(groupIndex(index2, [X12, Y12, X22, Y22], this, channels)).enter().append("path").call(applyDirectStyles, this).call(applyGroupedChannelStyles, this, channels).attr(
          "d",
          area().curve(this.curve).defined((i) => i >= 0).x0((i) => X12[i]).y0((i) => Y12[i]).x1((i) => X22[i]).y1((i) => Y22[i])
        )
      ).node();
    }
  };
  function areaY(data, options) {
    const { x: x2 = indexOf, ...rest } = maybeDenseIntervalX(options);
    return new Area(data, maybeStackY(maybeIdentityY({ ...rest, x1: x2, x2: void 0 }, x2 === indexOf ? "y2" : "y")));
  }

  // node_modules/@observablehq/plot/src/marks/bar.js
  var barDefaults = {
    ariaLabel: "bar"
  };
  var AbstractBar = class extends Mark {
    constructor(data, channels, options = {}, defaults10 = barDefaults) {
      super(data, channels, options, defaults10);
      rectInsets(this, options);
      rectRadii(this, options);
    }
    render(index2, scales, channels, dimensions, context) {
      const { rx, ry, rx1y1, rx1y2, rx2y1, rx2y2 } = this;
      const x2 = this._x(scales, channels, dimensions);
      const y2 = this._y(scales, channels, dimensions);
      const w = this._width(scales, channels, dimensions);
      const h2 = this._height(scales, channels, dimensions);
      return create("svg:g", context).call(applyIndirectStyles, this, dimensions, context).call(this._transform, this, scales).call(
        (g) => g.selectAll().data(index2).enter().call(
          rx1y1 || rx1y2 || rx2y1 || rx2y2 ? (g2) => g2.append("path").call(applyDirectStyles, this).call(applyRoundedRect, x2, y2, add(x2, w), add(y2, h2), this).call(applyChannelStyles, this, channels) : (g2) => g2.append("rect").call(applyDirectStyles, this).attr("x", x2).attr("width", w).attr("y", y2).attr("height", h2).call(applyAttr, "rx", rx).call(applyAttr, "ry", ry).call(applyChannelStyles, this, channels)
        )
      ).node();
    }
    _x(scales, { x: X3 }, { marginLeft }) {
      const { insetLeft } = this;
      return X3 ? (i) => X3[i] + insetLeft : marginLeft + insetLeft;
    }
    _y(scales, { y: Y3 }, { marginTop }) {
      const { insetTop } = this;
      return Y3 ? (i) => Y3[i] + insetTop : marginTop + insetTop;
    }
    _width({ x: x2 }, { x: X3 }, { marginRight, marginLeft, width }) {
      const { insetLeft, insetRight } = this;
      const bandwidth = X3 && x2 ? x2.bandwidth() : width - marginRight - marginLeft;
      return Math.max(0, bandwidth - insetLeft - insetRight);
    }
    _height({ y: y2 }, { y: Y3 }, { marginTop, marginBottom, height }) {
      const { insetTop, insetBottom } = this;
      const bandwidth = Y3 && y2 ? y2.bandwidth() : height - marginTop - marginBottom;
      return Math.max(0, bandwidth - insetTop - insetBottom);
    }
  };
  function add(a2, b) {
    return typeof a2 === "function" && typeof b === "function" ? (i) => a2(i) + b(i) : typeof a2 === "function" ? (i) => a2(i) + b : typeof b === "function" ? (i) => a2 + b(i) : a2 + b;
  }
  var BarX = class extends AbstractBar {
    constructor(data, options = {}, defaults10) {
      const { x1: x12, x2, y: y2 } = options;
      super(
        data,
        {
          x1: { value: x12, scale: "x" },
          x2: { value: x2, scale: "x" },
          y: { value: y2, scale: "y", type: "band", optional: true }
        },
        options,
        defaults10
      );
    }
    _transform(selection2, mark, { x: x2 }) {
      selection2.call(applyTransform, mark, { x: x2 }, 0, 0);
    }
    _x({ x: x2 }, { x1: X12, x2: X22 }, { marginLeft }) {
      const { insetLeft } = this;
      return isCollapsed(x2) ? marginLeft + insetLeft : (i) => Math.min(X12[i], X22[i]) + insetLeft;
    }
    _width({ x: x2 }, { x1: X12, x2: X22 }, { marginRight, marginLeft, width }) {
      const { insetLeft, insetRight } = this;
      return isCollapsed(x2) ? width - marginRight - marginLeft - insetLeft - insetRight : (i) => Math.max(0, Math.abs(X22[i] - X12[i]) - insetLeft - insetRight);
    }
  };
  function barX(data, options = {}) {
    if (!hasXY(options)) options = { ...options, y: indexOf, x2: identity6 };
    return new BarX(data, maybeStackX(maybeIntervalX(maybeIdentityX(options))));
  }

  // node_modules/@observablehq/plot/src/marks/cell.js
  var defaults7 = {
    ariaLabel: "cell"
  };
  var Cell = class extends AbstractBar {
    constructor(data, { x: x2, y: y2, ...options } = {}) {
      super(
        data,
        {
          x: { value: x2, scale: "x", type: "band", optional: true },
          y: { value: y2, scale: "y", type: "band", optional: true }
        },
        options,
        defaults7
      );
    }
    _transform(selection2, mark) {
      selection2.call(applyTransform, mark, {}, 0, 0);
    }
  };
  function cell(data, { x: x2, y: y2, ...options } = {}) {
    [x2, y2] = maybeTuple(x2, y2);
    return new Cell(data, { ...options, x: x2, y: y2 });
  }

  // node_modules/@observablehq/plot/src/marks/dot.js
  var defaults8 = {
    ariaLabel: "dot",
    fill: "none",
    stroke: "currentColor",
    strokeWidth: 1.5
  };
  function withDefaultSort(options) {
    return options.sort === void 0 && options.reverse === void 0 ? sort2({ channel: "-r" }, options) : options;
  }
  var Dot = class extends Mark {
    constructor(data, options = {}) {
      const { x: x2, y: y2, r, rotate, symbol: symbol2 = circle, frameAnchor } = options;
      const [vrotate, crotate] = maybeNumberChannel(rotate, 0);
      const [vsymbol, csymbol] = maybeSymbolChannel(symbol2);
      const [vr2, cr2] = maybeNumberChannel(r, vsymbol == null ? 3 : 4.5);
      super(
        data,
        {
          x: { value: x2, scale: "x", optional: true },
          y: { value: y2, scale: "y", optional: true },
          r: { value: vr2, scale: "r", filter: positive, optional: true },
          rotate: { value: vrotate, optional: true },
          symbol: { value: vsymbol, scale: "auto", optional: true }
        },
        withDefaultSort(options),
        defaults8
      );
      this.r = cr2;
      this.rotate = crotate;
      this.symbol = csymbol;
      this.frameAnchor = maybeFrameAnchor(frameAnchor);
      const { channels } = this;
      const { symbol: symbolChannel } = channels;
      if (symbolChannel) {
        const { fill: fillChannel, stroke: strokeChannel } = channels;
        symbolChannel.hint = {
          fill: fillChannel ? fillChannel.value === symbolChannel.value ? "color" : "currentColor" : this.fill ?? "currentColor",
          stroke: strokeChannel ? strokeChannel.value === symbolChannel.value ? "color" : "currentColor" : this.stroke ?? "none"
        };
      }
    }
    render(index2, scales, channels, dimensions, context) {
      const { x: x2, y: y2 } = scales;
      const { x: X3, y: Y3, r: R, rotate: A6, symbol: S2 } = channels;
      const { r, rotate, symbol: symbol2 } = this;
      const [cx, cy] = applyFrameAnchor(this, dimensions);
      const circle3 = symbol2 === circle;
      const size = R ? void 0 : r * r * Math.PI;
      if (negative(r)) index2 = [];
      return create("svg:g", context).call(applyIndirectStyles, this, dimensions, context).call(applyTransform, this, { x: X3 && x2, y: Y3 && y2 }).call(
        (g) => g.selectAll().data(index2).enter().append(circle3 ? "circle" : "path").call(applyDirectStyles, this).call(
          circle3 ? (selection2) => {
            selection2.attr("cx", X3 ? (i) => X3[i] : cx).attr("cy", Y3 ? (i) => Y3[i] : cy).attr("r", R ? (i) => R[i] : r);
          } : (selection2) => {
            selection2.attr(
              "transform",
              template`translate(${X3 ? (i) => X3[i] : cx},${Y3 ? (i) => Y3[i] : cy})${A6 ? (i) => ` rotate(${A6[i]})` : rotate ? ` rotate(${rotate})` : ``}`
            ).attr(
              "d",
              R && S2 ? (i) => {
                const p = pathRound();
                S2[i].draw(p, R[i] * R[i] * Math.PI);
                return p;
              } : R ? (i) => {
                const p = pathRound();
                symbol2.draw(p, R[i] * R[i] * Math.PI);
                return p;
              } : S2 ? (i) => {
                const p = pathRound();
                S2[i].draw(p, size);
                return p;
              } : (() => {
                const p = pathRound();
                symbol2.draw(p, size);
                return p;
              })()
            );
          }
        ).call(applyChannelStyles, this, channels)
      ).node();
    }
  };
  function dot(data, { x: x2, y: y2, ...options } = {}) {
    if (options.frameAnchor === void 0) [x2, y2] = maybeTuple(x2, y2);
    return new Dot(data, { ...options, x: x2, y: y2 });
  }

  // node_modules/@observablehq/plot/src/marks/line.js
  var defaults9 = {
    ariaLabel: "line",
    fill: "none",
    stroke: "currentColor",
    strokeWidth: 1.5,
    strokeLinecap: "round",
    strokeLinejoin: "round",
    strokeMiterlimit: 1
  };
  var Line = class extends Mark {
    constructor(data, options = {}) {
      const { x: x2, y: y2, z: z2, curve: curve2, tension } = options;
      super(
        data,
        {
          x: { value: x2, scale: "x" },
          y: { value: y2, scale: "y" },
          z: { value: maybeZ(options), optional: true }
        },
        options,
        defaults9
      );
      this.z = z2;
      this.curve = maybeCurveAuto(curve2, tension);
      markers(this, options);
    }
    filter(index2) {
      return index2;
    }
    project(channels, values2, context) {
      if (this.curve !== curveAuto) {
        super.project(channels, values2, context);
      }
    }
    render(index2, scales, channels, dimensions, context) {
      const { x: X3, y: Y3 } = channels;
      const { curve: curve2 } = this;
      return create("svg:g", context).call(applyIndirectStyles, this, dimensions, context).call(applyTransform, this, scales).call(
        (g) => g.selectAll().data(groupIndex(index2, [X3, Y3], this, channels)).enter().append("path").call(applyDirectStyles, this).call(applyGroupedChannelStyles, this, channels).call(applyGroupedMarkers, this, channels, context).attr(
          "d",
          curve2 === curveAuto && context.projection ? sphereLine(context.path(), X3, Y3) : line().curve(curve2).defined((i) => i >= 0).x((i) => X3[i]).y((i) => Y3[i])
        )
      ).node();
    }
  };
  function sphereLine(path2, X3, Y3) {
    X3 = coerceNumbers(X3);
    Y3 = coerceNumbers(Y3);
    return (I) => {
      let line4 = [];
      const lines = [line4];
      for (const i of I) {
        if (i === -1) {
          line4 = [];
          lines.push(line4);
        } else {
          line4.push([X3[i], Y3[i]]);
        }
      }
      return path2({ type: "MultiLineString", coordinates: lines });
    };
  }
  function lineY(data, { x: x2 = indexOf, y: y2 = identity6, ...options } = {}) {
    return new Line(data, maybeDenseIntervalX({ ...options, x: x2, y: y2 }));
  }

  // node_modules/@observablehq/plot/src/index.js
  Mark.prototype.plot = function({ marks: marks2 = [], ...options } = {}) {
    return plot({ ...options, marks: [...marks2, this] });
  };

  // src/text/format.js
  var WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
  var ONE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });
  var SHORT = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
  var CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  var number6 = (value2) => (Number.isInteger(value2) ? WHOLE : ONE).format(value2);
  var short = (value2) => SHORT.format(value2);
  var rate = (value2) => (value2 >= 10 || value2 === 0 ? WHOLE : ONE).format(value2);
  var position2 = (text2) => /^\d{4,15}$/.test(text2) ? text2.replace(/\B(?=(\d{3})+$)/g, ",") : text2;
  var clock = (instant) => CLOCK.format(new Date(instant));
  function bytes(value2) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let at3 = 0;
    while (value2 >= 1e3 && at3 < units.length - 1) [value2, at3] = [value2 / 1e3, at3 + 1];
    return `${at3 === 0 || value2 >= 100 ? WHOLE.format(value2) : ONE.format(value2)} ${units[at3]}`;
  }
  function span(seconds2) {
    const parts2 = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
    const first2 = parts2.findIndex(([, length3]) => seconds2 >= length3);
    if (first2 < 0) return "0 s";
    const [unit4, length2] = parts2[first2];
    const rest = parts2[first2 + 1];
    const more = rest ? Math.floor(seconds2 % length2 / rest[1]) : 0;
    return `${Math.floor(seconds2 / length2)} ${unit4}${more ? ` ${more} ${rest[0]}` : ""}`;
  }

  // src/charts/plot.js
  function drawing(words2, options) {
    const svg = plot({ className: "plot", ...options });
    for (const style of svg.querySelectorAll("style")) style.remove();
    for (const part of svg.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", words2);
    return svg;
  }
  function spoken(rows2, say, most = 8) {
    const rest = rows2.length - most;
    return rows2.slice(0, most).map(say).join("; ") + (rest > 0 ? `; and ${rest} more. The table has all.` : ".");
  }

  // src/charts/bars.js
  var OF_GROUP = 3;
  var LINE = 40;
  function bars(rows2, columns, width, isFresh) {
    const [group2, value2] = [columns[0].name, columns.at(-1).name];
    const label = columns.length > 2 ? columns[1].name : null;
    const lines = foremost(rows2, group2).map((row, at3, all) => ({
      key: at3,
      group: row[group2],
      first: at3 === 0 || all[at3 - 1][group2] !== row[group2],
      label: label ? row[label] : "",
      value: row[value2],
      fresh: isFresh(row)
    }));
    const left2 = Math.min(96, 14 + 8 * Math.max(...lines.map((line4) => String(line4.group).length)));
    const room = width - left2 - 12;
    const words2 = spoken(lines, (line4) => `${line4.group}: ${line4.label ? `${line4.label}, ` : ""}${number6(line4.value)}`);
    const y2 = "key";
    return drawing(`Bars. ${words2}`, {
      width,
      height: lines.length * LINE,
      margin: 0,
      marginLeft: left2,
      // Room for the mark of what has just changed.
      marginRight: 12,
      x: { domain: [0, Math.max(1, ...lines.map((line4) => line4.value))], axis: null },
      y: { domain: lines.map((line4) => line4.key), axis: null, padding: 0 },
      marks: [
        barX(lines, { x: "value", y: y2, insetTop: 25, insetBottom: 7, fill: "var(--flow)" }),
        text(lines.filter((line4) => line4.first), {
          y: y2,
          text: (line4) => String(line4.group),
          frameAnchor: "left",
          textAnchor: "start",
          dx: -left2,
          dy: -4,
          fill: "var(--ink-2)"
        }),
        text(lines, {
          y: y2,
          text: "label",
          frameAnchor: "left",
          textAnchor: "start",
          dy: -4,
          fill: "var(--ink)",
          fontWeight: 600,
          lineWidth: Math.max(6, room / 13 - 6),
          textOverflow: "ellipsis"
        }),
        text(lines, { y: y2, text: (line4) => number6(line4.value), frameAnchor: "right", textAnchor: "end", dy: -4, fill: "var(--ink)" }),
        dot(lines.filter((line4) => line4.fresh), { y: y2, frameAnchor: "right", dx: 9, dy: -4, r: 2.5, fill: "var(--fresh)" })
      ]
    });
  }
  function foremost(rows2, group2) {
    const seen = /* @__PURE__ */ new Map();
    return rows2.filter((row) => {
      const count2 = (seen.get(row[group2]) ?? 0) + 1;
      seen.set(row[group2], count2);
      return count2 <= OF_GROUP;
    });
  }

  // src/charts/heat.js
  var STEPS = [1, 2, 3, 4, 5, 6];
  function heat(rows2, columns, width) {
    const [down, across, value2] = columns.map((column2) => column2.name);
    const domain = (name) => [...new Set(rows2.map((row) => row[name]))].sort((one3, other) => one3 < other ? -1 : 1);
    const [groups, years] = [domain(down), domain(across)];
    const left2 = 14 + 8 * Math.max(...groups.map((group2) => String(group2).length));
    const cell2 = (width - left2) / years.length;
    const step2 = steps(rows2.map((row) => row[value2]));
    const at3 = { x: across, y: down };
    const written = cell2 > 76 ? number6 : short;
    return drawing(`Heat map. ${spoken(rows2, (row) => `${row[down]}, joined ${row[across]}: ${number6(row[value2])}`)}`, {
      width,
      height: 30 + groups.length * 46,
      margin: 0,
      marginLeft: left2,
      marginBottom: 30,
      x: { domain: years, axis: null, paddingInner: 0.02, paddingOuter: 0 },
      y: { domain: groups, axis: null, paddingInner: 0.06, paddingOuter: 0 },
      marks: [
        cell(rows2, { ...at3, fill: (row) => `var(--water-${step2(row[value2])})` }),
        text(rows2, { ...at3, text: (row) => written(row[value2]), fill: (row) => `var(--on-water-${step2(row[value2])})` }),
        text(groups, { y: (group2) => group2, text: (group2) => group2, frameAnchor: "left", textAnchor: "start", dx: -left2, fill: "var(--ink-2)" }),
        text(years, { x: (year) => year, text: (year) => String(year), frameAnchor: "bottom", dy: 22, fill: "var(--ink-2)" })
      ]
    });
  }
  function steps(values2) {
    const sorted = [...new Set(values2)].sort((one3, other) => one3 - other);
    return (value2) => STEPS[Math.floor(sorted.indexOf(value2) / Math.max(1, sorted.length - 1) * (STEPS.length - 1))];
  }

  // src/dom.js
  function h(tag, attributes = {}, ...children2) {
    const element = document.createElement(tag);
    for (const [name, value2] of Object.entries(attributes)) {
      if (value2 === null || value2 === void 0 || value2 === false) continue;
      if (name.startsWith("on")) element.addEventListener(
        name.slice(2),
        /** @type {EventListener} */
        value2
      );
      else element.setAttribute(name, value2 === true ? "" : String(value2));
    }
    element.append(...children2.filter((child) => child !== null && child !== false).map(node));
    return element;
  }
  function s2(tag, attributes = {}, ...children2) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value2] of Object.entries(attributes)) element.setAttribute(name, String(value2));
    element.append(...children2.map(node));
    return element;
  }
  function node(child) {
    return child instanceof Node ? child : document.createTextNode(String(child));
  }
  function byId(id) {
    const found = document.getElementById(id);
    if (!found) throw new Error(`the page has no #${id}`);
    return found;
  }
  var unit3 = () => Number.parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
  function write(element, text2) {
    if (element.textContent !== text2) element.textContent = text2;
  }

  // src/charts/ranked.js
  var LISTED = 10;
  function ranked(rows2, columns, _width, isFresh) {
    const [place, label, value2] = columns.map((column2) => column2.name);
    const first2 = [...rows2].sort((one3, other) => other[value2] - one3[value2]).slice(0, LISTED);
    const most = Math.max(1, ...first2.map((row) => row[value2]));
    return h("ol", { class: "ranked" }, ...first2.map((row) => line3(row[place], row[label], row[value2], most, isFresh(row))));
  }
  function line3(place, label, value2, most, fresh) {
    const measure = h("span", { class: "ranked-measure", "aria-hidden": "true" });
    measure.style.setProperty("--share", String(value2 / most));
    return h(
      "li",
      { class: fresh ? "fresh" : null },
      h("span", { class: "ranked-place" }, place),
      h("span", { class: "ranked-value" }, number6(value2)),
      h("span", { class: "ranked-label" }, label),
      measure
    );
  }

  // src/charts/record.js
  function record(rows2, columns, _width, isFresh) {
    const [place, value2] = columns.map((column2) => column2.name);
    return h(
      "div",
      { class: "record" },
      ...rows2.slice(0, 3).map(
        (row) => h(
          "p",
          { class: isFresh(row) ? "fresh" : null },
          h("span", { class: "record-place" }, row[place]),
          h("span", { class: "record-value" }, number6(row[value2])),
          h("span", { class: "record-unit" }, "followers")
        )
      )
    );
  }

  // src/charts/series.js
  var HEIGHT = 196;
  function series(rows2, columns, width, isFresh) {
    const [year, value2] = columns.map((column2) => column2.name);
    const years = rows2.map((row) => row[year]);
    const most = Math.max(1, ...rows2.map((row) => row[value2]));
    const written = width / years.length > 64 ? number6 : short;
    const at3 = { x: year, y: value2 };
    return drawing(`Series. ${spoken(rows2, (row) => `${row[year]}: ${number6(row[value2])}`)}`, {
      width,
      height: HEIGHT,
      margin: 0,
      marginTop: 30,
      marginBottom: 28,
      marginLeft: 24,
      marginRight: 24,
      x: { type: "point", domain: years, axis: null, padding: 0.25 },
      y: { domain: [0, most], axis: null },
      marks: [
        areaY(rows2, { ...at3, fill: "var(--water-1)" }),
        ruleY([0], { stroke: "var(--rule)" }),
        ruleX(rows2, { x: year, y: value2, stroke: "var(--water-3)" }),
        lineY(rows2, { ...at3, stroke: "var(--flow)", strokeWidth: 2 }),
        dot(rows2, { ...at3, r: 4, fill: (row) => isFresh(row) ? "var(--fresh)" : "var(--flow)", stroke: "var(--paper)", strokeWidth: 1.5 }),
        text(rows2, { ...at3, text: (row) => written(row[value2]), dy: -14, fill: "var(--ink)", fontWeight: 600, stroke: "var(--paper)", strokeWidth: 5 }),
        text(years, { x: (one3) => one3, text: (one3) => String(one3), frameAnchor: "bottom", dy: 20, fill: "var(--ink-2)" })
      ]
    });
  }

  // src/charts/catalogue.js
  var KNOWN = {
    popular_category_by_year: {
      title: "Popular category by year",
      note: "The category with most posts, by the year of the post",
      wants: ["post_year", "category", "category_count"],
      draw: bars,
      span: "half"
    },
    popular_category_by_age_group: {
      title: "Popular category by age group",
      note: "The category with most posts, by the age of who posted",
      wants: ["age_group", "category", "category_count"],
      draw: bars,
      span: "half"
    },
    median_followers_by_join_year_and_age_group: {
      title: "Median followers by join year and age",
      note: "Deeper water is more; over posts",
      wants: ["age_group", "post_year", "median_follower_count"],
      draw: heat,
      span: "half"
    },
    median_followers_by_age_group: {
      title: "Median by age group",
      note: "Followers, over posts",
      wants: ["age_group", "median_follower_count"],
      draw: bars,
      span: "quarter"
    },
    median_followers_by_join_year: {
      title: "Median by join year",
      note: "Followers, over posts",
      wants: ["post_year", "median_follower_count"],
      draw: series,
      span: "quarter"
    },
    users_joined_by_year: {
      title: "Users joined by year",
      note: "Every user row",
      wants: ["post_year", "number_users_joined"],
      draw: series,
      span: "third"
    },
    user_names_joined_by_year: {
      title: "User names joined by year",
      note: "Each name once",
      wants: ["post_year", "number_users_joined"],
      draw: series,
      span: "third"
    },
    country_with_most_followed_poster: {
      title: "Country of the most followed poster",
      note: "The greatest of all",
      wants: ["country", "follower_count"],
      draw: record,
      span: "third"
    },
    popular_category_by_country: {
      title: "Popular category by country",
      note: "Countries with the largest leading category",
      wants: ["country", "category", "category_count"],
      draw: ranked,
      span: "third"
    },
    most_followed_poster_by_country: {
      title: "Most followed poster by country",
      note: "The greatest follower counts",
      wants: ["country", "poster_name", "follower_count"],
      draw: ranked,
      span: "third"
    },
    most_followed_user_by_country: {
      title: "Most followed user by country",
      note: "The greatest follower counts among users",
      wants: ["country", "user_name", "follower_count"],
      draw: ranked,
      span: "third"
    }
  };
  function catalogue(name, columns) {
    const known = Object.hasOwn(KNOWN, name) ? KNOWN[name] : null;
    if (!known) return { span: "third" };
    const fits = known.wants.length === columns.length && known.wants.every((column2, at3) => columns[at3].name === column2);
    return fits ? known : { ...known, draw: void 0 };
  }
  function placed(names) {
    const place = (name) => {
      const at3 = Object.keys(KNOWN).indexOf(name);
      return at3 < 0 ? Infinity : at3;
    };
    return [...names].sort((one3, other) => place(one3) === place(other) ? 0 : place(one3) - place(other));
  }

  // src/state/answers.js
  var Answers = class {
    /** @type {Map<string, {name: string, columns: Column[], rows: Map<string, object>, fresh: Map<string, number>}>} */
    held = /* @__PURE__ */ new Map();
    epoch = 0;
    asOf = null;
    /**
     * Takes up all events of one epoch.
     *
     * @param {{kind: string, data: any}[]} events
     * @param {number} now milliseconds, to mark what has just changed
     * @returns {Set<string>} the answers that differ
     */
    take(events2, now2) {
      const touched = /* @__PURE__ */ new Set();
      for (const { kind, data } of events2) {
        if (kind === "snapshot") this.#snapshot(data);
        else if (kind === "change") this.#change(data, now2);
        else continue;
        this.epoch = data.epoch;
        this.asOf = data.as_of ?? this.asOf;
        touched.add(data.answer);
      }
      return touched;
    }
    #snapshot({ answer, columns, rows: rows2 }) {
      const keyed = new Map(rows2.map((row) => [JSON.stringify(row), row]));
      this.held.set(answer, { name: answer, columns, rows: keyed, fresh: /* @__PURE__ */ new Map() });
    }
    #change({ answer, insert, delete: gone }, now2) {
      const held2 = this.held.get(answer);
      if (!held2) return;
      for (const row of gone) {
        const key = JSON.stringify(row);
        held2.rows.delete(key);
        held2.fresh.delete(key);
      }
      for (const row of insert) {
        const key = JSON.stringify(row);
        held2.rows.set(key, row);
        held2.fresh.set(key, now2);
      }
    }
  };
  function ordered(rows2, columns) {
    const groups = columns.filter((column2) => column2.group);
    const figures = columns.filter((column2) => !column2.group && column2.type !== "text");
    const labels = columns.filter((column2) => !column2.group && column2.type === "text");
    const keys = [...groups.map(({ name }) => [name, 1]), ...figures.map(({ name }) => [name, -1]), ...labels.map(({ name }) => [name, 1])];
    return [...rows2].sort((one3, other) => {
      for (const [name, way] of keys) {
        const order = compare(one3[name], other[name]);
        if (order !== 0) return order * way;
      }
      return 0;
    });
  }
  function compare(one3, other) {
    if (one3 === other) return 0;
    if (one3 === null || one3 === void 0) return 1;
    if (other === null || other === void 0) return -1;
    return one3 < other ? -1 : 1;
  }

  // src/text/words.js
  function words(name) {
    const text2 = name.replaceAll("_", " ");
    return text2.charAt(0).toUpperCase() + text2.slice(1);
  }
  var counted = (count2, of, written) => `${written ?? count2} ${of}${count2 === 1 ? "" : "s"}`;

  // src/parts/switch.js
  function choice(label, names, chosen) {
    const buttons = names.map((name) => h("button", { type: "button", "aria-pressed": "false", onclick: () => choose(name) }, name));
    function choose(name) {
      buttons.forEach((button, at3) => button.setAttribute("aria-pressed", String(names[at3] === name)));
      chosen(name);
    }
    return { element: h("div", { class: "choice", role: "group", "aria-label": label }, ...buttons), choose };
  }

  // src/parts/table.js
  var SHOWN = 100;
  function table(caption, headings, { shown: shown2 = SHOWN } = {}) {
    const sort3 = { key: "", way: 1 };
    const state2 = { rows: [], fresh: () => false, limit: shown2 };
    const heads = headings.map((heading2) => head(heading2, () => turn(heading2.key)));
    const body = h("tbody");
    const more = h("button", { type: "button", class: "quiet more", onclick: () => (state2.limit += SHOWN * 5, draw2()) });
    const scroll = h(
      "div",
      { class: "table-scroll", role: "region", tabindex: "0", "aria-label": `${caption}, as a table` },
      h("table", {}, h("caption", { class: "unseen" }, caption), h("thead", {}, h("tr", {}, ...heads)), body)
    );
    const element = h("div", { class: "table" }, scroll, more);
    function turn(key) {
      if (sort3.key !== key) [sort3.key, sort3.way] = [key, 1];
      else if (sort3.way === 1) sort3.way = -1;
      else [sort3.key, sort3.way] = ["", 1];
      headings.forEach((heading2, at3) => {
        const way = sort3.key === heading2.key ? sort3.way : 0;
        if (way === 0) heads[at3].removeAttribute("aria-sort");
        else heads[at3].setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
      });
      draw2();
    }
    function draw2() {
      const heading2 = headings.find(({ key }) => key === sort3.key);
      const by = heading2?.by ?? ((row) => row[sort3.key]);
      const rows2 = heading2 ? [...state2.rows].sort((one3, other) => compare(by(one3), by(other)) * sort3.way) : state2.rows;
      const listed = rows2.slice(0, state2.limit);
      while (body.rows.length > listed.length) body.deleteRow(-1);
      listed.forEach((row, at3) => fill(body.rows[at3] ?? body.appendChild(blank(headings)), row));
      more.hidden = rows2.length <= listed.length;
      write(more, `${(rows2.length - listed.length).toLocaleString("en-US")} more`);
    }
    function fill(line4, row) {
      line4.classList.toggle("fresh", state2.fresh(row));
      headings.forEach(({ key, shown: as }, at3) => {
        const cell2 = line4.cells[at3];
        const value2 = row[key];
        const shown3 = as ? as(value2, row) : value2;
        if (shown3 instanceof Node) cell2.replaceChildren(shown3);
        else write(cell2, shown3 === null || shown3 === void 0 ? "–" : String(shown3));
      });
    }
    return {
      element,
      /** Shows these rows; `fresh` says which of them are new. */
      update(rows2, fresh = () => false) {
        Object.assign(state2, { rows: rows2, fresh });
        draw2();
      }
    };
  }
  function head({ title, numeric }, press) {
    const mark = h("span", { class: "sort-mark", "aria-hidden": "true" });
    return h("th", { scope: "col", class: numeric ? "numeric" : null }, h("button", { type: "button", onclick: press }, title, mark));
  }
  function blank(headings) {
    return h("tr", {}, ...headings.map(({ numeric }) => h("td", { class: numeric ? "numeric" : null })));
  }

  // src/parts/plate.js
  var FRESH_MS = 2500;
  var Plate = class {
    #view = "Table";
    #answer;
    #width = 0;
    /** @param {{name: string, columns: import("../state/answers.js").Column[]}} answer */
    constructor({ name, columns }) {
      this.known = catalogue(name, columns);
      const title = this.known.title ?? words(name);
      const id = `answer-${name}`;
      this.chart = h("div", { class: "chart" });
      this.table = table(title, columns.map(heading));
      this.count = h("span", { class: "plate-count" });
      this.body = h("div", { class: "plate-body" });
      const views = this.known.draw ? choice(`View of ${title}`, ["Chart", "Table"], (view) => this.#show(view)) : null;
      this.element = h(
        "article",
        { class: `plate ${this.known.span}`, "aria-labelledby": id, "data-answer": name },
        h("header", {}, h("div", {}, h("h3", { id }, title), h("p", { class: "plate-note" }, this.known.note ?? "")), views?.element ?? null),
        this.body,
        h("footer", {}, this.count)
      );
      if (views) views.choose("Chart");
      else this.#show("Table");
      new ResizeObserver(([{ contentRect }]) => {
        if (Math.abs(contentRect.width - this.#width) < 1) return;
        this.#width = contentRect.width;
        this.#draw();
      }).observe(this.body);
    }
    /** Shows the answer as it stands now. */
    update(answer) {
      this.#answer = answer;
      this.#draw();
    }
    #show(view) {
      this.#view = view;
      this.body.replaceChildren(view === "Chart" ? this.chart : this.table.element);
      this.#draw();
    }
    #draw() {
      if (!this.#answer) return;
      const { columns, rows: rows2, fresh } = this.#answer;
      const list = ordered(rows2.values(), columns);
      write(this.count, counted(list.length, "row", number6(list.length)));
      if (list.length === 0) {
        this.body.replaceChildren(h("p", { class: "empty" }, "Nothing yet. The first posts that match will stand here."));
        return;
      }
      const wanted = this.#view === "Chart" ? this.chart : this.table.element;
      if (this.body.firstChild !== wanted) this.body.replaceChildren(wanted);
      const since2 = performance.now() - FRESH_MS;
      const isFresh = (row) => (fresh.get(JSON.stringify(row)) ?? -Infinity) > since2;
      if (this.#view === "Table") this.table.update(list, isFresh);
      else if (this.#width > 0) this.chart.replaceChildren(this.known.draw(list, columns, this.#width / unit3(), isFresh));
    }
  };
  function heading({ name, type }) {
    const numeric = type !== "text" && name !== "year" && !name.endsWith("_year");
    return { key: name, title: words(name), numeric, shown: numeric ? number6 : void 0 };
  }

  // src/parts/answers.js
  var EVERY_MS = 200;
  var SETTLE_MS = 3e3;
  function answers(held2) {
    const [place, plates, due] = [byId("plates"), /* @__PURE__ */ new Map(), /* @__PURE__ */ new Set()];
    let [timer, settle] = [0, 0];
    place.replaceChildren(...Array.from({ length: 6 }, () => h("div", { class: "plate half waiting", "aria-hidden": "true" })));
    function draw2() {
      timer = 0;
      if ([...held2.held.keys()].some((name) => !plates.has(name))) set2();
      for (const name of due) plates.get(name)?.update(held2.held.get(name));
      due.clear();
      write(byId("answers-note"), `${number6(plates.size)} answers, all of one epoch`);
      clearTimeout(settle);
      settle = setTimeout(() => plates.forEach((plate, name) => plate.update(held2.held.get(name))), SETTLE_MS);
    }
    function set2() {
      for (const [name, answer] of held2.held) if (!plates.has(name)) plates.set(name, new Plate(answer));
      place.replaceChildren(...placed([...plates.keys()]).map((name) => plates.get(name).element));
    }
    return (names) => {
      for (const name of names) due.add(name);
      if (timer === 0) timer = setTimeout(draw2, EVERY_MS);
    };
  }

  // src/parts/pairs.js
  function pairs2(list) {
    const held2 = /* @__PURE__ */ new Map();
    return (now2) => {
      for (const [term, value2, more = ""] of now2) {
        let pair2 = held2.get(term);
        if (!pair2) {
          const [dd, small] = [h("span", { class: "pair-value" }), h("span", { class: "pair-more" })];
          pair2 = { dd, small, element: h("div", {}, h("dt", {}, term), h("dd", {}, dd, small)) };
          held2.set(term, pair2);
          list.append(pair2.element);
        }
        write(pair2.dd, value2);
        write(pair2.small, more);
      }
      const terms = now2.map(([term]) => term);
      for (const [term, { element }] of held2) element.hidden = !terms.includes(term);
    };
  }

  // src/parts/block.js
  var STATES = {
    connecting: ["Connecting…", ""],
    live: ["Live", ""],
    rebuilding: ["Rebuilding", "The answers are read back from the tables. They appear here when they are whole."],
    paused: ["Paused", "Rows cannot be written, so nothing more is read. The answers below stand as they were."],
    lost: ["Connection lost", "What stands below is the last that came. This page tries again by itself."],
    locked: ["A token is wanted", ""]
  };
  function sentence(text2) {
    const grouped = text2.replace(/\b\d{4,15}\b/g, (digits) => number6(Number(digits)));
    return `${grouped.charAt(0).toUpperCase()}${grouped.slice(1)}${/[.!?]$/.test(grouped) ? "" : "."}`;
  }
  function block() {
    const [cut4, mark, said, notice] = [pairs2(byId("cut")), byId("state"), byId("state-words"), byId("notice")];
    let seen = "";
    return {
      /** @param {keyof typeof STATES} kind @param {string} [why] */
      state(kind, why = "") {
        const [name, means] = STATES[kind];
        mark.dataset.state = kind;
        document.body.dataset.state = kind;
        write(said, name);
        notice.hidden = means === "";
        notice.dataset.state = kind;
        write(notice, [means, why && sentence(why)].filter(Boolean).join(" "));
        title(kind);
      },
      /** @param {{epoch: number, asOf: string | null, durable: number | null}} shown */
      cut({ epoch, asOf, durable: durable2 }) {
        const waits = durable2 === null ? [] : [["Durable", number6(durable2), durable2 >= epoch ? "all of it" : `${number6(epoch - durable2)} to be written`]];
        cut4([["Epoch", number6(epoch), ""], ["As of", asOf ? clock(asOf) : "–", ""], ...waits]);
      },
      /** @param {any} status */
      run({ pipeline }) {
        write(byId("pipeline"), pipeline);
        seen = pipeline;
        title(mark.dataset.state);
      }
    };
    function title(kind) {
      const name = seen ? `${seen} · pinflow` : "pinflow";
      document.title = kind === "live" ? name : `${STATES[kind][0]} · ${name}`;
    }
  }

  // src/graph/draw.js
  function draw(laid, paceOf, flowOf) {
    const most = Math.max(1, ...laid.edges.map(({ records }) => records));
    const edges = laid.edges.map((edge) => drawEdge(edge, flowOf(edge.from, edge.to), most));
    const nodes = laid.nodes.map((node2) => drawNode(node2, paceOf(node2.id)));
    const svg = s2("svg", { viewBox: `0 0 ${laid.width} ${laid.height}`, width: laid.width, height: laid.height, class: "graph", role: "img" });
    svg.append(...edges, ...nodes);
    svg.setAttribute("aria-label", `The dataflow: ${laid.nodes.length} operators and ${laid.edges.length} channels. The table has their figures.`);
    return svg;
  }
  function drawEdge({ points, records }, flow, most) {
    const width = 1 + (records > 0 ? Math.log10(records + 1) / Math.log10(most + 1) * 3.5 : 0);
    const middle = points[Math.floor(points.length / 2)];
    const path2 = s2("path", { d: curve(points), class: flow > 0 ? "edge flowing" : "edge", "stroke-width": width.toFixed(1) });
    const words2 = flow > 0 ? `${rate(flow)}/s` : short(records);
    return s2("g", {}, path2, s2("text", { x: middle.x, y: middle.y - 6, class: "edge-words" }, words2));
  }
  function drawNode({ x: x2, y: y2, width, height, name, records, state: state2, bytes: size, inside }, pace3) {
    const title = s2("title", {}, inside > 0 ? `${name}, ${inside} operators inside` : name);
    const held2 = state2 === null ? pace3 > 0 ? `${rate(pace3)}/s` : "" : `holds ${short(state2)}${size === null ? "" : `, ${bytes(size)}`}`;
    return s2(
      "g",
      { class: state2 > 0 ? "node holds" : "node", transform: `translate(${x2} ${y2})` },
      title,
      s2("rect", { width, height }),
      s2("text", { x: 12, y: 19, class: "node-name" }, cut2(name, 21)),
      s2("text", { x: 12, y: 35, class: "node-words" }, number6(records)),
      s2("text", { x: 12, y: 49, class: "node-words quiet" }, held2)
    );
  }
  var cut2 = (text2, most) => text2.length > most ? `${text2.slice(0, most - 1)}…` : text2;
  function curve(points) {
    const [first2, ...rest] = points;
    const parts2 = rest.map((point3, at3) => {
      const next = rest[at3 + 1];
      if (!next) return `L${point3.x} ${point3.y}`;
      return `Q${point3.x} ${point3.y} ${(point3.x + next.x) / 2} ${(point3.y + next.y) / 2}`;
    });
    return `M${first2.x} ${first2.y}${parts2.join("")}`;
  }

  // node_modules/@dagrejs/dagre/dist/dagre.esm.js
  var Te = Object.defineProperty;
  var Sn = (e, n, t) => n in e ? Te(e, n, { enumerable: true, configurable: true, writable: true, value: t }) : e[n] = t;
  var Mn = (e, n) => {
    for (var t in n) Te(e, t, { get: n[t], enumerable: true });
  };
  var je = (e, n, t) => Sn(e, typeof n != "symbol" ? n + "" : n, t);
  var ie = {};
  Mn(ie, { Graph: () => T, alg: () => H });
  var Pn = Object.defineProperty;
  var Se = (e, n) => {
    for (var t in n) Pn(e, t, { get: n[t], enumerable: true });
  };
  var Q = class {
    constructor(e) {
      this._isDirected = true, this._isMultigraph = false, this._isCompound = false, this._nodes = {}, this._in = {}, this._preds = {}, this._out = {}, this._sucs = {}, this._edgeObjs = {}, this._edgeLabels = {}, this._nodeCount = 0, this._edgeCount = 0, this._defaultNodeLabelFn = () => {
      }, this._defaultEdgeLabelFn = () => {
      }, e && (this._isDirected = "directed" in e ? e.directed : true, this._isMultigraph = "multigraph" in e ? e.multigraph : false, this._isCompound = "compound" in e ? e.compound : false), this._isCompound && (this._parent = {}, this._children = {}, this._children["\0"] = {});
    }
    isDirected() {
      return this._isDirected;
    }
    isMultigraph() {
      return this._isMultigraph;
    }
    isCompound() {
      return this._isCompound;
    }
    setGraph(e) {
      return this._label = e, this;
    }
    graph() {
      return this._label;
    }
    setDefaultNodeLabel(e) {
      return typeof e != "function" ? this._defaultNodeLabelFn = () => e : this._defaultNodeLabelFn = e, this;
    }
    nodeCount() {
      return this._nodeCount;
    }
    nodes() {
      return Object.keys(this._nodes);
    }
    sources() {
      return this.nodes().filter((e) => Object.keys(this._in[e]).length === 0);
    }
    sinks() {
      return this.nodes().filter((e) => Object.keys(this._out[e]).length === 0);
    }
    setNodes(e, n) {
      return e.forEach((t) => {
        n !== void 0 ? this.setNode(t, n) : this.setNode(t);
      }), this;
    }
    setNode(e, n) {
      return e in this._nodes ? (arguments.length > 1 && (this._nodes[e] = n), this) : (this._nodes[e] = arguments.length > 1 ? n : this._defaultNodeLabelFn(e), this._isCompound && (this._parent[e] = "\0", this._children[e] = {}, this._children["\0"][e] = true), this._in[e] = {}, this._preds[e] = {}, this._out[e] = {}, this._sucs[e] = {}, ++this._nodeCount, this);
    }
    node(e) {
      return this._nodes[e];
    }
    hasNode(e) {
      return e in this._nodes;
    }
    removeNode(e) {
      if (e in this._nodes) {
        let n = (t) => this.removeEdge(this._edgeObjs[t]);
        delete this._nodes[e], this._isCompound && (this._removeFromParentsChildList(e), delete this._parent[e], this.children(e).forEach((t) => {
          this.setParent(t);
        }), delete this._children[e]), Object.keys(this._in[e]).forEach(n), delete this._in[e], delete this._preds[e], Object.keys(this._out[e]).forEach(n), delete this._out[e], delete this._sucs[e], --this._nodeCount;
      }
      return this;
    }
    setParent(e, n) {
      if (!this._isCompound) throw new Error("Cannot set parent in a non-compound graph");
      if (n === void 0) n = "\0";
      else {
        n += "";
        for (let t = n; t !== void 0; t = this.parent(t)) if (t === e) throw new Error("Setting " + n + " as parent of " + e + " would create a cycle");
        this.setNode(n);
      }
      return this.setNode(e), this._removeFromParentsChildList(e), this._parent[e] = n, this._children[n][e] = true, this;
    }
    parent(e) {
      if (this._isCompound) {
        let n = this._parent[e];
        if (n !== "\0") return n;
      }
    }
    children(e = "\0") {
      if (this._isCompound) {
        let n = this._children[e];
        if (n) return Object.keys(n);
      } else {
        if (e === "\0") return this.nodes();
        if (this.hasNode(e)) return [];
      }
      return [];
    }
    predecessors(e) {
      let n = this._preds[e];
      if (n) return Object.keys(n);
    }
    successors(e) {
      let n = this._sucs[e];
      if (n) return Object.keys(n);
    }
    neighbors(e) {
      let n = this.predecessors(e);
      if (n) {
        let t = new Set(n), r = this.successors(e);
        if (r) for (let o of r) t.add(o);
        return Array.from(t.values());
      }
    }
    isLeaf(e) {
      var n;
      let t;
      return this.isDirected() ? t = this.successors(e) : t = this.neighbors(e), ((n = t == null ? void 0 : t.length) != null ? n : 0) === 0;
    }
    filterNodes(e) {
      let n = new this.constructor({ directed: this._isDirected, multigraph: this._isMultigraph, compound: this._isCompound });
      n.setGraph(this.graph()), Object.entries(this._nodes).forEach(([o, i]) => {
        e(o) && n.setNode(o, i);
      }), Object.values(this._edgeObjs).forEach((o) => {
        n.hasNode(o.v) && n.hasNode(o.w) && n.setEdge(o, this.edge(o));
      });
      let t = {}, r = (o) => {
        let i = this.parent(o);
        return !i || n.hasNode(i) ? (t[o] = i, i) : i in t ? t[i] : r(i);
      };
      return this._isCompound && n.nodes().forEach((o) => n.setParent(o, r(o))), n;
    }
    setDefaultEdgeLabel(e) {
      return typeof e != "function" ? this._defaultEdgeLabelFn = () => e : this._defaultEdgeLabelFn = e, this;
    }
    edgeCount() {
      return this._edgeCount;
    }
    edges() {
      return Object.values(this._edgeObjs);
    }
    setPath(e, n) {
      return e.reduce((t, r) => (n !== void 0 ? this.setEdge(t, r, n) : this.setEdge(t, r), r)), this;
    }
    setEdge(e, n, t, r) {
      let o, i, s3, a2, l = false;
      typeof e == "object" && e !== null && "v" in e ? (o = e.v, i = e.w, s3 = e.name, arguments.length === 2 && (a2 = n, l = true)) : (o = e, i = n, s3 = r, arguments.length > 2 && (a2 = t, l = true)), o = "" + o, i = "" + i, s3 !== void 0 && (s3 = "" + s3);
      let u = z(this._isDirected, o, i, s3);
      if (u in this._edgeLabels) return l && (this._edgeLabels[u] = a2), this;
      if (s3 !== void 0 && !this._isMultigraph) throw new Error("Cannot set a named edge when isMultigraph = false");
      this.setNode(o), this.setNode(i), this._edgeLabels[u] = l ? a2 : this._defaultEdgeLabelFn(o, i, s3);
      let d = Fn(this._isDirected, o, i, s3);
      return o = d.v, i = d.w, Object.freeze(d), this._edgeObjs[u] = d, Re(this._preds[i], o), Re(this._sucs[o], i), this._in[i][u] = d, this._out[o][u] = d, this._edgeCount++, this;
    }
    edge(e, n, t) {
      let r = arguments.length === 1 ? oe(this._isDirected, e) : z(this._isDirected, e, n, t);
      return this._edgeLabels[r];
    }
    edgeAsObj(e, n, t) {
      let r = arguments.length === 1 ? this.edge(e) : this.edge(e, n, t);
      return typeof r != "object" || r === null ? { label: r } : r;
    }
    hasEdge(e, n, t) {
      return (arguments.length === 1 ? oe(this._isDirected, e) : z(this._isDirected, e, n, t)) in this._edgeLabels;
    }
    removeEdge(e, n, t) {
      let r = arguments.length === 1 ? oe(this._isDirected, e) : z(this._isDirected, e, n, t), o = this._edgeObjs[r];
      if (o) {
        let i = o.v, s3 = o.w;
        delete this._edgeLabels[r], delete this._edgeObjs[r], Ie(this._preds[s3], i), Ie(this._sucs[i], s3), delete this._in[s3][r], delete this._out[i][r], this._edgeCount--;
      }
      return this;
    }
    inEdges(e, n) {
      return this.isDirected() ? this.filterEdges(this._in[e], e, n) : this.nodeEdges(e, n);
    }
    outEdges(e, n) {
      return this.isDirected() ? this.filterEdges(this._out[e], e, n) : this.nodeEdges(e, n);
    }
    nodeEdges(e, n) {
      if (e in this._nodes) return this.filterEdges({ ...this._in[e], ...this._out[e] }, e, n);
    }
    _removeFromParentsChildList(e) {
      delete this._children[this._parent[e]][e];
    }
    filterEdges(e, n, t) {
      if (!e) return;
      let r = Object.values(e);
      return t ? r.filter((o) => o.v === n && o.w === t || o.v === t && o.w === n) : r;
    }
  };
  function Re(e, n) {
    e[n] ? e[n]++ : e[n] = 1;
  }
  function Ie(e, n) {
    e[n] !== void 0 && !--e[n] && delete e[n];
  }
  function z(e, n, t, r) {
    let o = "" + n, i = "" + t;
    if (!e && o > i) {
      let s3 = o;
      o = i, i = s3;
    }
    return o + "" + i + "" + (r === void 0 ? "\0" : r);
  }
  function Fn(e, n, t, r) {
    let o = "" + n, i = "" + t;
    if (!e && o > i) {
      let a2 = o;
      o = i, i = a2;
    }
    let s3 = { v: o, w: i };
    return r && (s3.name = r), s3;
  }
  function oe(e, n) {
    return z(e, n.v, n.w, n.name);
  }
  var Dn = {};
  Se(Dn, { read: () => Bn, write: () => An });
  function An(e) {
    let n = { options: { directed: e.isDirected(), multigraph: e.isMultigraph(), compound: e.isCompound() }, nodes: Vn(e), edges: Yn2(e) }, t = e.graph();
    return t !== void 0 && (n.value = structuredClone(t)), n;
  }
  function Vn(e) {
    return e.nodes().map((n) => {
      let t = e.node(n), r = e.parent(n), o = { v: n };
      return t !== void 0 && (o.value = t), r !== void 0 && (o.parent = r), o;
    });
  }
  function Yn2(e) {
    return e.edges().map((n) => {
      let t = e.edge(n), r = { v: n.v, w: n.w };
      return n.name !== void 0 && (r.name = n.name), t !== void 0 && (r.value = t), r;
    });
  }
  function Bn(e) {
    let n = new Q(e.options);
    return e.value !== void 0 && n.setGraph(e.value), e.nodes.forEach((t) => {
      n.setNode(t.v, t.value), t.parent && n.setParent(t.v, t.parent);
    }), e.edges.forEach((t) => {
      n.setEdge({ v: t.v, w: t.w, name: t.name }, t.value);
    }), n;
  }
  var H = {};
  Se(H, { CycleException: () => K2, bellmanFord: () => Me, components: () => zn, dijkstra: () => J, dijkstraAll: () => $n, findCycles: () => Un, floydWarshall: () => Kn, isAcyclic: () => Zn2, postorder: () => nt, preorder: () => tt, prim: () => rt, shortestPaths: () => ot, tarjan: () => Fe, topsort: () => De });
  var Wn = () => 1;
  function Me(e, n, t, r) {
    return Xn2(e, String(n), t || Wn, r || function(o) {
      var i;
      return (i = e.outEdges(o)) != null ? i : [];
    });
  }
  function Xn2(e, n, t, r) {
    let o = {}, i, s3 = 0, a2 = e.nodes(), l = function(c3) {
      let f = o[c3.v], h2 = o[c3.w];
      if (!f || !h2) return;
      let g = t(c3);
      f.distance + g < h2.distance && (o[c3.w] = { distance: f.distance + g, predecessor: c3.v }, i = true);
    }, u = function() {
      a2.forEach(function(c3) {
        r(c3).forEach(function(f) {
          let h2 = f.v === c3 ? f.v : f.w, g = h2 === f.v ? f.w : f.v;
          l({ v: h2, w: g });
        });
      });
    };
    a2.forEach(function(c3) {
      let f = c3 === n ? 0 : Number.POSITIVE_INFINITY;
      o[c3] = { distance: f, predecessor: "" };
    });
    let d = a2.length;
    for (let c3 = 1; c3 < d && (i = false, s3++, u(), !!i); c3++) ;
    if (s3 === d - 1 && (i = false, u(), i)) throw new Error("The graph contains a negative weight cycle");
    return o;
  }
  function zn(e) {
    let n = {}, t = [], r;
    function o(i) {
      var s3, a2;
      i in n || (n[i] = true, r.push(i), (s3 = e.successors(i)) == null || s3.forEach(o), (a2 = e.predecessors(i)) == null || a2.forEach(o));
    }
    return e.nodes().forEach(function(i) {
      r = [], o(i), r.length && t.push(r);
    }), t;
  }
  var Pe = class {
    constructor() {
      this._arr = [], this._keyIndices = {};
    }
    size() {
      return this._arr.length;
    }
    keys() {
      return this._arr.map((e) => e.key);
    }
    has(e) {
      return e in this._keyIndices;
    }
    priority(e) {
      let n = this._keyIndices[e];
      if (n !== void 0) return this._arr[n].priority;
    }
    min() {
      if (this.size() === 0) throw new Error("Queue underflow");
      return this._arr[0].key;
    }
    add(e, n) {
      let t = this._keyIndices, r = String(e);
      if (!(r in t)) {
        let o = this._arr, i = o.length;
        return t[r] = i, o.push({ key: r, priority: n }), this._decrease(i), true;
      }
      return false;
    }
    removeMin() {
      if (this.size() === 0) throw new Error("Queue underflow");
      this._swap(0, this._arr.length - 1);
      let e = this._arr.pop();
      return delete this._keyIndices[e.key], this._heapify(0), e.key;
    }
    decrease(e, n) {
      let t = this._keyIndices[e];
      if (t === void 0) throw new Error(`Key not found: ${e}`);
      let r = this._arr[t].priority;
      if (n > r) throw new Error(`New priority is greater than current priority. Key: ${e} Old: ${r} New: ${n}`);
      this._arr[t].priority = n, this._decrease(t);
    }
    _heapify(e) {
      let n = this._arr, t = 2 * e, r = t + 1, o = e;
      t < n.length && (o = n[t].priority < n[o].priority ? t : o, r < n.length && (o = n[r].priority < n[o].priority ? r : o), o !== e && (this._swap(e, o), this._heapify(o)));
    }
    _decrease(e) {
      let n = this._arr, t = n[e].priority, r;
      for (; e !== 0 && (r = e >> 1, !(n[r].priority < t)); ) this._swap(e, r), e = r;
    }
    _swap(e, n) {
      let t = this._arr, r = this._keyIndices, o = t[e], i = t[n];
      t[e] = i, t[n] = o, r[i.key] = e, r[o.key] = n;
    }
  };
  var Hn = () => 1;
  function J(e, n, t, r) {
    let o = function(i) {
      var s3;
      return (s3 = e.outEdges(i)) != null ? s3 : [];
    };
    return qn(e, String(n), t || Hn, r || o);
  }
  function qn(e, n, t, r) {
    let o = {}, i = new Pe(), s3, a2, l = function(u) {
      let d = u.v !== s3 ? u.v : u.w, c3 = o[d];
      if (!c3) return;
      let f = t(u), h2 = a2.distance + f;
      if (f < 0) throw new Error("dijkstra does not allow negative edge weights. Bad edge: " + u + " Weight: " + f);
      h2 < c3.distance && (c3.distance = h2, c3.predecessor = s3, i.decrease(d, h2));
    };
    for (e.nodes().forEach(function(u) {
      let d = u === n ? 0 : Number.POSITIVE_INFINITY;
      o[u] = { distance: d, predecessor: "" }, i.add(u, d);
    }); i.size() > 0; ) {
      s3 = i.removeMin();
      let u = o[s3];
      if (!u || u.distance === Number.POSITIVE_INFINITY) break;
      a2 = u, r(s3).forEach(l);
    }
    return o;
  }
  function $n(e, n, t) {
    return e.nodes().reduce(function(r, o) {
      return r[o] = J(e, o, n, t), r;
    }, {});
  }
  function Fe(e) {
    let n = 0, t = [], r = {}, o = [];
    function i(s3) {
      var a2;
      let l = r[s3] = { onStack: true, lowlink: n, index: n++ };
      if (t.push(s3), (a2 = e.successors(s3)) == null || a2.forEach(function(u) {
        if (u in r) {
          let d = r[u];
          d != null && d.onStack && (l.lowlink = Math.min(l.lowlink, d.index));
        } else {
          i(u);
          let d = r[u];
          d && (l.lowlink = Math.min(l.lowlink, d.lowlink));
        }
      }), l.lowlink === l.index) {
        let u = [], d;
        do {
          d = t.pop();
          let c3 = r[d];
          c3 && (c3.onStack = false), u.push(d);
        } while (s3 !== d);
        o.push(u);
      }
    }
    return e.nodes().forEach(function(s3) {
      s3 in r || i(s3);
    }), o;
  }
  function Un(e) {
    return Fe(e).filter(function(n) {
      var t;
      let r = n[0];
      return r ? n.length > 1 || n.length === 1 && ((t = e.outEdges(r, r)) != null ? t : []).length > 0 : false;
    });
  }
  var Jn = () => 1;
  function Kn(e, n, t) {
    return Qn(e, n || Jn, t || function(r) {
      var o;
      return (o = e.outEdges(r)) != null ? o : [];
    });
  }
  function Qn(e, n, t) {
    let r = {}, o = e.nodes();
    return o.forEach(function(i) {
      let s3 = {};
      r[i] = s3, s3[i] = { distance: 0, predecessor: "" }, o.forEach(function(a2) {
        i !== a2 && (s3[a2] = { distance: Number.POSITIVE_INFINITY, predecessor: "" });
      }), t(i).forEach(function(a2) {
        let l = a2.v === i ? a2.w : a2.v, u = n(a2);
        s3[l] = { distance: u, predecessor: i };
      });
    }), o.forEach(function(i) {
      let s3 = r[i];
      s3 && o.forEach(function(a2) {
        let l = r[a2];
        l && o.forEach(function(u) {
          let d = l[i], c3 = s3[u], f = l[u];
          if (d && c3 && f) {
            let h2 = d.distance + c3.distance;
            h2 < f.distance && (f.distance = h2, f.predecessor = c3.predecessor);
          }
        });
      });
    }), r;
  }
  var K2 = class extends Error {
    constructor(e) {
      super(e), this.name = "CycleException";
    }
  };
  function De(e) {
    let n = {}, t = {}, r = [];
    function o(i) {
      var s3;
      if (i in t) throw new K2();
      i in n || (t[i] = true, n[i] = true, (s3 = e.predecessors(i)) == null || s3.forEach(o), delete t[i], r.push(i));
    }
    if (e.sinks().forEach(o), Object.keys(n).length !== e.nodeCount()) throw new K2();
    return r;
  }
  function Zn2(e) {
    try {
      De(e);
    } catch (n) {
      if (n instanceof K2) return false;
      throw n;
    }
    return true;
  }
  function et(e, n, t, r, o) {
    Array.isArray(n) || (n = [n]);
    let i = ((a2) => {
      var l;
      return (l = e.isDirected() ? e.successors(a2) : e.neighbors(a2)) != null ? l : [];
    }), s3 = {};
    return n.forEach(function(a2) {
      if (!e.hasNode(a2)) throw new Error("Graph does not have node: " + a2);
      o = Ae(e, a2, t === "post", s3, i, r, o);
    }), o;
  }
  function Ae(e, n, t, r, o, i, s3) {
    return n in r || (r[n] = true, t || (s3 = i(s3, n)), o(n).forEach(function(a2) {
      s3 = Ae(e, a2, t, r, o, i, s3);
    }), t && (s3 = i(s3, n))), s3;
  }
  function Ve(e, n, t) {
    return et(e, n, t, function(r, o) {
      return r.push(o), r;
    }, []);
  }
  function nt(e, n) {
    return Ve(e, n, "post");
  }
  function tt(e, n) {
    return Ve(e, n, "pre");
  }
  function rt(e, n) {
    var t;
    let r = new Q(), o = {}, i = new Pe(), s3;
    function a2(d) {
      let c3 = d.v === s3 ? d.w : d.v, f = i.priority(c3);
      if (f !== void 0) {
        let h2 = n(d);
        h2 < f && (o[c3] = s3, i.decrease(c3, h2));
      }
    }
    if (e.nodeCount() === 0) return r;
    e.nodes().forEach(function(d) {
      i.add(d, Number.POSITIVE_INFINITY), r.setNode(d);
    });
    let l = e.nodes()[0];
    l !== void 0 && i.decrease(l, 0);
    let u = false;
    for (; i.size() > 0; ) {
      if (s3 = i.removeMin(), s3 in o) r.setEdge(s3, o[s3]);
      else {
        if (u) throw new Error("Input graph is not connected: " + e);
        u = true;
      }
      (t = e.nodeEdges(s3)) == null || t.forEach(a2);
    }
    return r;
  }
  function ot(e, n, t, r) {
    return it2(e, n, t, r != null ? r : ((o) => {
      var i;
      return (i = e.outEdges(o)) != null ? i : [];
    }));
  }
  function it2(e, n, t, r) {
    if (t === void 0) return J(e, n, t, r);
    let o = false, i = e.nodes();
    for (let s3 = 0; s3 < i.length; s3++) {
      let a2 = i[s3];
      if (a2 === void 0) continue;
      let l = r(a2);
      for (let u = 0; u < l.length; u++) {
        let d = l[u];
        if (!d) continue;
        let c3 = d.v === a2 ? d.v : d.w, f = c3 === d.v ? d.w : d.v;
        t({ v: c3, w: f }) < 0 && (o = true);
      }
      if (o) return Me(e, n, t, r);
    }
    return J(e, n, t, r);
  }
  var T = Q;
  function M2(e, n, t, r) {
    let o = r;
    for (; e.hasNode(o); ) o = $(r);
    return t.dummy = n, e.setNode(o, t), o;
  }
  function Ye(e) {
    let n = new T().setGraph(e.graph());
    return e.nodes().forEach((t) => n.setNode(t, e.node(t))), e.edges().forEach((t) => {
      let r = n.edge(t.v, t.w) || { weight: 0, minlen: 1 }, o = e.edge(t);
      n.setEdge(t.v, t.w, { weight: r.weight + o.weight, minlen: Math.max(r.minlen, o.minlen) });
    }), n;
  }
  function Z(e) {
    let n = new T({ multigraph: e.isMultigraph() }).setGraph(e.graph());
    return e.nodes().forEach((t) => {
      e.children(t).length || n.setNode(t, e.node(t));
    }), e.edges().forEach((t) => {
      n.setEdge(t, e.edge(t));
    }), n;
  }
  function se(e, n) {
    let t = e.x, r = e.y, o = n.x - t, i = n.y - r, s3 = e.width / 2, a2 = e.height / 2;
    if (!o && !i) throw new Error("Not possible to find intersection inside of the rectangle");
    let l, u;
    return o === 0 || Math.abs(i) * s3 > Math.abs(o) * a2 ? (i < 0 && (a2 = -a2), l = a2 * o / i, u = a2) : (o < 0 && (s3 = -s3), l = s3, u = s3 * i / o), { x: t + l, y: r + u };
  }
  function P(e) {
    let n = D2(de(e) + 1).map(() => []);
    return e.nodes().forEach((t) => {
      let r = e.node(t), o = r.rank;
      o !== void 0 && (n[o] || (n[o] = []), n[o][r.order] = t);
    }), n;
  }
  function Be(e) {
    let n = e.nodes().map((r) => {
      let o = e.node(r).rank;
      return o === void 0 ? Number.MAX_VALUE : o;
    }), t = S(Math.min, n);
    e.nodes().forEach((r) => {
      let o = e.node(r);
      Object.hasOwn(o, "rank") && (o.rank -= t);
    });
  }
  function We(e) {
    let n = e.nodes().map((s3) => e.node(s3).rank).filter((s3) => s3 !== void 0), t = S(Math.min, n), r = [];
    e.nodes().forEach((s3) => {
      let a2 = e.node(s3).rank - t;
      r[a2] || (r[a2] = []), r[a2].push(s3);
    });
    let o = 0, i = e.graph().nodeRankFactor;
    Array.from(r).forEach((s3, a2) => {
      s3 === void 0 && a2 % i !== 0 ? --o : s3 !== void 0 && o && s3.forEach((l) => e.node(l).rank += o);
    });
  }
  function ae(e, n, t, r) {
    let o = { width: 0, height: 0 };
    return arguments.length >= 4 && (o.rank = t, o.order = r), M2(e, "border", o, n);
  }
  function st(e, n = Xe) {
    let t = [];
    for (let r = 0; r < e.length; r += n) {
      let o = e.slice(r, r + n);
      t.push(o);
    }
    return t;
  }
  var Xe = 65535;
  function S(e, n) {
    if (n.length > Xe) {
      let t = st(n);
      return e(...t.map((r) => e(...r)));
    } else return e(...n);
  }
  function de(e) {
    let t = e.nodes().map((r) => {
      let o = e.node(r).rank;
      return o === void 0 ? Number.MIN_VALUE : o;
    });
    return S(Math.max, t);
  }
  function ze(e, n) {
    let t = { lhs: [], rhs: [] };
    return e.forEach((r) => {
      n(r) ? t.lhs.push(r) : t.rhs.push(r);
    }), t;
  }
  function q(e, n) {
    return n();
  }
  var at = 0;
  function $(e) {
    let n = ++at;
    return e + ("" + n);
  }
  function D2(e, n, t = 1) {
    n == null && (n = e, e = 0);
    let r = (i) => i < n;
    t < 0 && (r = (i) => n < i);
    let o = [];
    for (let i = e; r(i); i += t) o.push(i);
    return o;
  }
  function W(e, n) {
    let t = {};
    for (let r of n) e[r] !== void 0 && (t[r] = e[r]);
    return t;
  }
  function X(e, n) {
    let t;
    return typeof n == "string" ? t = (r) => r[n] : t = n, Object.entries(e).reduce((r, [o, i]) => (r[o] = t(i, o), r), {});
  }
  function He(e, n) {
    return e.reduce((t, r, o) => (t[r] = n[o], t), {});
  }
  var V = "\0";
  function ee(e, n, t) {
    var u, d, c3, f, h2, g;
    if (!(e && n && t && n.dummy === "edge" && t.dummy === "edge" && n.edgeObj && t.edgeObj && e[n.edgeObj.v] && e[t.edgeObj.v] && e[n.edgeObj.w] && e[t.edgeObj.w])) return 0;
    let r = true;
    n.edgeObj.w === t.edgeObj.w && (r = false);
    let o = r ? (d = (u = e[n.edgeObj.v]) == null ? void 0 : u.rank) != null ? d : NaN + 1 : (f = (c3 = e[n.edgeObj.w]) == null ? void 0 : c3.rank) != null ? f : NaN - 1, i = Object.entries(e).find((m) => {
      var L, y2;
      return ((L = m[1].edgeObj) == null ? void 0 : L.v) === n.edgeObj.v && ((y2 = m[1].edgeObj) == null ? void 0 : y2.w) === n.edgeObj.w && m[1].rank === o;
    }), s3 = Object.entries(e).find((m) => {
      var L, y2;
      return ((L = m[1].edgeObj) == null ? void 0 : L.v) === t.edgeObj.v && ((y2 = m[1].edgeObj) == null ? void 0 : y2.w) === t.edgeObj.w && m[1].rank === o;
    });
    if (!i || !s3) return 0;
    let a2 = (h2 = i[1].order) != null ? h2 : NaN, l = (g = s3[1].order) != null ? g : NaN;
    return isNaN(a2 - l) ? 0 : a2 - l;
  }
  var ce = class {
    constructor() {
      je(this, "_sentinel");
      let n = {};
      n._next = n._prev = n, this._sentinel = n;
    }
    dequeue() {
      let n = this._sentinel, t = n._prev;
      if (t !== n) return qe(t), t;
    }
    enqueue(n) {
      let t = this._sentinel;
      n._prev && n._next && qe(n), n._next = t._next, t._next._prev = n, t._next = n, n._prev = t;
    }
    toString() {
      let n = [], t = this._sentinel, r = t._prev;
      for (; r !== t; ) n.push(JSON.stringify(r, dt)), r = r._prev;
      return "[" + n.join(", ") + "]";
    }
  };
  function qe(e) {
    e._prev._next = e._next, e._next._prev = e._prev, delete e._next, delete e._prev;
  }
  function dt(e, n) {
    if (e !== "_next" && e !== "_prev") return n;
  }
  var $e = ce;
  var lt = () => 1;
  function be(e, n) {
    if (e.nodeCount() <= 1) return [];
    let t = ct(e, n || lt);
    return ut(t.graph, t.buckets, t.zeroIdx).flatMap((o) => e.outEdges(o.v, o.w) || []);
  }
  function ut(e, n, t) {
    var a2;
    let r = [], o = n[n.length - 1], i = n[0], s3;
    for (; e.nodeCount(); ) {
      for (; s3 = i.dequeue(); ) fe(e, n, t, s3);
      for (; s3 = o.dequeue(); ) fe(e, n, t, s3);
      if (e.nodeCount()) {
        for (let l = n.length - 2; l > 0; --l) if (s3 = (a2 = n[l]) == null ? void 0 : a2.dequeue(), s3) {
          r = r.concat(fe(e, n, t, s3, true) || []);
          break;
        }
      }
    }
    return r;
  }
  function fe(e, n, t, r, o) {
    let i = [], s3 = o ? i : void 0;
    return (e.inEdges(r.v) || []).forEach((a2) => {
      let l = e.edge(a2), u = e.node(a2.v);
      o && i.push({ v: a2.v, w: a2.w }), u.out -= l, he(n, t, u);
    }), (e.outEdges(r.v) || []).forEach((a2) => {
      let l = e.edge(a2), u = a2.w, d = e.node(u);
      d.in -= l, he(n, t, d);
    }), e.removeNode(r.v), s3;
  }
  function ct(e, n) {
    let t = new T(), r = 0, o = 0;
    e.nodes().forEach((a2) => {
      t.setNode(a2, { v: a2, in: 0, out: 0 });
    }), e.edges().forEach((a2) => {
      let l = t.edge(a2.v, a2.w) || 0, u = n(a2), d = l + u;
      t.setEdge(a2.v, a2.w, d);
      let c3 = t.node(a2.v), f = t.node(a2.w);
      o = Math.max(o, c3.out += u), r = Math.max(r, f.in += u);
    });
    let i = ft(o + r + 3).map(() => new $e()), s3 = r + 1;
    return t.nodes().forEach((a2) => {
      he(i, s3, t.node(a2));
    }), { graph: t, buckets: i, zeroIdx: s3 };
  }
  function he(e, n, t) {
    var r, o, i;
    t.out ? t.in ? (i = e[t.out - t.in + n]) == null || i.enqueue(t) : (o = e[e.length - 1]) == null || o.enqueue(t) : (r = e[0]) == null || r.enqueue(t);
  }
  function ft(e) {
    let n = [];
    for (let t = 0; t < e; t++) n.push(t);
    return n;
  }
  function Ue(e, n) {
    (e.graph().acyclicer === "greedy" ? be(e, r(e)) : ht(e, n != null ? n : null)).forEach((o) => {
      let i = e.edge(o);
      e.removeEdge(o), i.forwardName = o.name, i.reversed = true, e.setEdge(o.w, o.v, i, $("rev"));
    });
    function r(o) {
      return (i) => o.edge(i).weight;
    }
  }
  function ht(e, n) {
    let t = [], r = {}, o = {};
    function i(l) {
      Object.hasOwn(o, l) || (o[l] = true, r[l] = true, e.outEdges(l).forEach((u) => {
        Object.hasOwn(r, u.w) ? t.push(u) : i(u.w);
      }), delete r[l]);
    }
    function s3(l) {
      var u;
      Object.hasOwn(o, l) || (o[l] = true, r[l] = true, (u = e.outEdges(l)) == null || u.forEach((d) => {
        var c3, f;
        Object.hasOwn(r, d.w) || ((c3 = n.node(l)) == null ? void 0 : c3.rank) > ((f = n.node(d.w)) == null ? void 0 : f.rank) && bt(e, d.w, d) ? t.push(d) : s3(d.w);
      }), delete r[l]);
    }
    let a2 = i;
    return n && typeof n.node == "function" && (a2 = s3), e.sources().forEach(a2), e.nodes().forEach(a2), t;
  }
  function Je(e) {
    e.edges().forEach((n) => {
      let t = e.edge(n);
      if (t.reversed) {
        e.removeEdge(n);
        let r = t.forwardName;
        delete t.reversed, delete t.forwardName, e.setEdge(n.w, n.v, t, r);
      }
    });
  }
  function bt(e, n, t) {
    let r = /* @__PURE__ */ new Set();
    function o(i) {
      var s3;
      if (e.sources().includes(i)) return true;
      r.add(i);
      for (let a2 of (s3 = e.inEdges(i)) != null ? s3 : []) if (!(a2.v === t.v && a2.w === t.w) && !r.has(a2.v) && o(a2.v)) return true;
      return false;
    }
    return o(n);
  }
  function Ke(e) {
    e.graph().dummyChains = [], e.edges().forEach((n) => pt(e, n));
  }
  function pt(e, n) {
    let t = n.v, r = e.node(t).rank, o = n.w, i = e.node(o).rank, s3 = n.name, a2 = e.edge(n), l = a2.labelRank;
    if (i === r + 1) return;
    e.removeEdge(n);
    let u, d, c3;
    for (c3 = 0, ++r; r < i; ++c3, ++r) a2.points = [], d = { width: 0, height: 0, edgeLabel: a2, edgeObj: n, rank: r }, u = M2(e, "edge", d, "_d"), r === l && (d.width = a2.width, d.height = a2.height, d.dummy = "edge-label", d.labelpos = a2.labelpos), e.setEdge(t, u, { weight: a2.weight }, s3), c3 === 0 && e.graph().dummyChains.push(u), t = u;
    e.setEdge(t, o, { weight: a2.weight }, s3);
  }
  function Qe(e) {
    e.graph().dummyChains.forEach((n) => {
      let t = e.node(n), r = t.edgeLabel, o;
      for (e.setEdge(t.edgeObj, r); t.dummy; ) o = e.successors(n)[0], e.removeNode(n), r.points.push({ x: t.x, y: t.y }), t.dummy === "edge-label" && (r.x = t.x, r.y = t.y, r.width = t.width, r.height = t.height), n = o, t = e.node(n);
    });
  }
  function U(e) {
    let n = {};
    function t(r) {
      let o = e.node(r);
      if (Object.hasOwn(n, r)) return o.rank;
      n[r] = true;
      let i = e.outEdges(r), s3 = i ? i.map((l) => l == null ? Number.POSITIVE_INFINITY : t(l.w) - e.edge(l).minlen) : [], a2 = S(Math.min, s3);
      return a2 === Number.POSITIVE_INFINITY && (a2 = 0), o.rank = a2;
    }
    e.sources().forEach(t);
  }
  function A5(e, n) {
    return e.node(n.w).rank - e.node(n.v).rank - e.edge(n).minlen;
  }
  var ne = Et;
  function Et(e) {
    let n = new T({ directed: false }), t = e.nodes();
    if (t.length === 0) throw new Error("Graph must have at least one node");
    let r = t[0], o = e.nodeCount();
    n.setNode(r, {});
    let i, s3;
    for (; Lt(n, e) < o && (i = yt(n, e), !!i); ) s3 = n.hasNode(i.v) ? A5(e, i) : -A5(e, i), wt(n, e, s3);
    return n;
  }
  function Lt(e, n) {
    function t(r) {
      let o = n.nodeEdges(r);
      o && o.forEach((i) => {
        let s3 = i.v, a2 = r === s3 ? i.w : s3;
        !e.hasNode(a2) && !A5(n, i) && (e.setNode(a2, {}), e.setEdge(r, a2, {}), t(a2));
      });
    }
    return e.nodes().forEach(t), e.nodeCount();
  }
  function yt(e, n) {
    return n.edges().reduce((r, o) => {
      let i = Number.POSITIVE_INFINITY;
      return e.hasNode(o.v) !== e.hasNode(o.w) && (i = A5(n, o)), i < r[0] ? [i, o] : r;
    }, [Number.POSITIVE_INFINITY, null])[1];
  }
  function wt(e, n, t) {
    e.nodes().forEach((r) => n.node(r).rank += t);
  }
  var { preorder: Nt, postorder: Gt } = H;
  var en = Y;
  Y.initLowLimValues = pe;
  Y.initCutValues = ge;
  Y.calcCutValue = nn;
  Y.leaveEdge = rn;
  Y.enterEdge = on;
  Y.exchangeEdges = sn;
  function Y(e) {
    e = Ye(e), U(e);
    let n = ne(e);
    pe(n), ge(n, e);
    let t, r;
    for (; t = rn(n); ) r = on(n, e, t), sn(n, e, t, r);
  }
  function ge(e, n) {
    let t = Gt(e, e.nodes());
    t = t.slice(0, t.length - 1), t.forEach((r) => vt(e, n, r));
  }
  function vt(e, n, t) {
    let o = e.node(t).parent, i = e.edge(t, o);
    i.cutvalue = nn(e, n, t);
  }
  function nn(e, n, t) {
    let o = e.node(t).parent, i = true, s3 = n.edge(t, o), a2 = 0;
    s3 || (i = false, s3 = n.edge(o, t)), a2 = s3.weight;
    let l = n.nodeEdges(t);
    return l && l.forEach((u) => {
      let d = u.v === t, c3 = d ? u.w : u.v;
      if (c3 !== o) {
        let f = d === i, h2 = n.edge(u).weight;
        if (a2 += f ? h2 : -h2, xt(e, t, c3)) {
          let m = e.edge(t, c3).cutvalue;
          a2 += f ? -m : m;
        }
      }
    }), a2;
  }
  function pe(e, n) {
    arguments.length < 2 && (n = e.nodes()[0]), tn(e, {}, 1, n);
  }
  function tn(e, n, t, r, o) {
    let i = t, s3 = e.node(r);
    n[r] = true;
    let a2 = e.neighbors(r);
    return a2 && a2.forEach((l) => {
      Object.hasOwn(n, l) || (t = tn(e, n, t, l, r));
    }), s3.low = i, s3.lim = t++, o ? s3.parent = o : delete s3.parent, t;
  }
  function rn(e) {
    return e.edges().find((n) => e.edge(n).cutvalue < 0);
  }
  function on(e, n, t) {
    let r = t.v, o = t.w;
    n.hasEdge(r, o) || (r = t.w, o = t.v);
    let i = e.node(r), s3 = e.node(o), a2 = i, l = false;
    return i.lim > s3.lim && (a2 = s3, l = true), n.edges().filter((d) => l === Ze(e, e.node(d.v), a2) && l !== Ze(e, e.node(d.w), a2)).reduce((d, c3) => A5(n, c3) < A5(n, d) ? c3 : d);
  }
  function sn(e, n, t, r) {
    let o = t.v, i = t.w;
    e.removeEdge(o, i), e.setEdge(r.v, r.w, {}), pe(e), ge(e, n), kt(e, n);
  }
  function kt(e, n) {
    let t = e.nodes().find((o) => !e.node(o).parent);
    if (!t) return;
    let r = Nt(e, [t]);
    r = r.slice(1), r.forEach((o) => {
      let s3 = e.node(o).parent, a2 = n.edge(o, s3), l = false;
      a2 || (a2 = n.edge(s3, o), l = true), n.node(o).rank = n.node(s3).rank + (l ? a2.minlen : -a2.minlen);
    });
  }
  function xt(e, n, t) {
    return e.hasEdge(n, t);
  }
  function Ze(e, n, t) {
    return t.low <= n.lim && n.lim <= t.lim;
  }
  var dn = _t;
  function _t(e) {
    let n = e.graph().ranker;
    if (typeof n == "function") return n(e);
    switch (n) {
      case "network-simplex":
        an(e);
        break;
      case "tight-tree":
        Ct(e);
        break;
      case "longest-path":
        Ot(e);
        break;
      case "none":
        break;
      default:
        an(e);
    }
  }
  var Ot = U;
  function Ct(e) {
    U(e), ne(e);
  }
  function an(e) {
    en(e);
  }
  var ln = Tt;
  function Tt(e) {
    let n = Rt(e), t = e.graph();
    if (!Array.isArray(t.dummyChains)) return;
    t.dummyChains.forEach((o) => {
      let i = e.node(o), s3 = i.edgeObj, a2 = jt(e, n, s3.v, s3.w), l = a2.path, u = a2.lca, d = 0, c3 = l[d], f = true;
      for (; o !== s3.w; ) {
        if (i = e.node(o), f) {
          for (; (c3 = l[d]) !== u && e.node(c3).maxRank < i.rank; ) d++;
          c3 === u && (f = false);
        }
        if (!f) {
          for (; d < l.length - 1 && e.node(l[d + 1]).minRank <= i.rank; ) d++;
          c3 = l[d];
        }
        c3 !== void 0 && e.setParent(o, c3), o = e.successors(o)[0];
      }
    });
  }
  function jt(e, n, t, r) {
    let o = [], i = [], s3 = Math.min(n[t].low, n[r].low), a2 = Math.max(n[t].lim, n[r].lim), l;
    l = t;
    do
      l = e.parent(l), o.push(l);
    while (l && (n[l].low > s3 || a2 > n[l].lim));
    let u = l, d = r;
    for (; (d = e.parent(d)) !== u; ) i.push(d);
    return { path: o.concat(i.reverse()), lca: u };
  }
  function Rt(e) {
    let n = {}, t = 0;
    function r(o) {
      let i = t;
      e.children(o).forEach(r), n[o] = { low: i, lim: t++ };
    }
    return e.children(V).forEach(r), n;
  }
  function un(e) {
    let n = M2(e, "root", {}, "_root"), t = It(e), r = Object.values(t), o = S(Math.max, r) - 1, i = 2 * o + 1;
    e.graph().nestingRoot = n, e.edges().forEach((a2) => e.edge(a2).minlen *= i);
    let s3 = St(e) + 1;
    e.children(V).forEach((a2) => {
      cn(e, n, i, s3, o, t, a2);
    }), e.graph().nodeRankFactor = i;
  }
  function cn(e, n, t, r, o, i, s3) {
    var c3;
    let a2 = e.children(s3);
    if (!a2.length) {
      s3 !== n && e.setEdge(n, s3, { weight: 0, minlen: t });
      return;
    }
    let l = ae(e, "_bt"), u = ae(e, "_bb"), d = e.node(s3);
    e.setParent(l, s3), d.borderTop = l, e.setParent(u, s3), d.borderBottom = u, a2.forEach((f) => {
      var b;
      cn(e, n, t, r, o, i, f);
      let h2 = e.node(f), g = h2.borderTop ? h2.borderTop : f, m = h2.borderBottom ? h2.borderBottom : f, L = h2.borderTop ? r : 2 * r, y2 = g !== m ? 1 : o - ((b = i[s3]) != null ? b : 0) + 1;
      e.setEdge(l, g, { weight: L, minlen: y2, nestingEdge: true }), e.setEdge(m, u, { weight: L, minlen: y2, nestingEdge: true });
    }), e.parent(s3) || e.setEdge(n, l, { weight: 0, minlen: o + ((c3 = i[s3]) != null ? c3 : 0) });
  }
  function It(e) {
    let n = {};
    function t(r, o) {
      let i = e.children(r);
      i && i.length && i.forEach((s3) => t(s3, o + 1)), n[r] = o;
    }
    return e.children(V).forEach((r) => t(r, 1)), n;
  }
  function St(e) {
    return e.edges().reduce((n, t) => n + e.edge(t).weight, 0);
  }
  function fn(e) {
    let n = e.graph();
    e.removeNode(n.nestingRoot), delete n.nestingRoot, e.edges().forEach((t) => {
      e.edge(t).nestingEdge && e.removeEdge(t);
    });
  }
  var bn = Pt;
  function Pt(e) {
    function n(t) {
      let r = e.children(t), o = e.node(t);
      if (r.length && r.forEach(n), o && Object.hasOwn(o, "minRank")) {
        o.borderLeft = [], o.borderRight = [];
        for (let i = o.minRank, s3 = o.maxRank + 1; i < s3; ++i) hn(e, "borderLeft", "_bl", t, o, i), hn(e, "borderRight", "_br", t, o, i);
      }
    }
    e.children(V).forEach(n);
  }
  function hn(e, n, t, r, o, i) {
    let s3 = { width: 0, height: 0, rank: i, borderType: n }, a2 = o[n][i - 1], l = M2(e, "border", s3, t);
    o[n][i] = l, e.setParent(l, r), a2 && e.setEdge(a2, l, { weight: 1 });
  }
  function pn(e) {
    var t;
    let n = (t = e.graph().rankdir) == null ? void 0 : t.toLowerCase();
    (n === "lr" || n === "rl") && En(e);
  }
  function mn(e) {
    var t;
    let n = (t = e.graph().rankdir) == null ? void 0 : t.toLowerCase();
    (n === "bt" || n === "rl") && Ft(e), (n === "lr" || n === "rl") && (Dt(e), En(e));
  }
  function En(e) {
    e.nodes().forEach((n) => gn(e.node(n))), e.edges().forEach((n) => gn(e.edge(n)));
  }
  function gn(e) {
    let n = e.width;
    e.width = e.height, e.height = n;
  }
  function Ft(e) {
    e.nodes().forEach((n) => me(e.node(n))), e.edges().forEach((n) => {
      var r;
      let t = e.edge(n);
      (r = t.points) == null || r.forEach(me), Object.hasOwn(t, "y") && me(t);
    });
  }
  function me(e) {
    e.y = -e.y;
  }
  function Dt(e) {
    e.nodes().forEach((n) => Ee(e.node(n))), e.edges().forEach((n) => {
      var r;
      let t = e.edge(n);
      (r = t.points) == null || r.forEach(Ee), Object.hasOwn(t, "x") && Ee(t);
    });
  }
  function Ee(e) {
    let n = e.x;
    e.x = e.y, e.y = n;
  }
  function Le(e, n = null) {
    let t = {}, r = e.nodes().filter((d) => !e.children(d).length), o = r.map((d) => e.node(d).rank), i = S(Math.max, o), s3 = D2(i + 1).map(() => []);
    function a2(d) {
      if (t[d]) return;
      t[d] = true;
      let c3 = e.node(d);
      s3[c3.rank].push(d);
      let f = e.successors(d);
      f && [...f].sort((g, m) => u(g, m)).forEach(a2);
    }
    r.sort((d, c3) => e.node(d).rank - e.node(c3).rank).forEach(a2);
    function u(d, c3) {
      let f = e.node(d), h2 = e.node(c3);
      return ee(n, f, h2);
    }
    return s3;
  }
  function ye(e, n) {
    let t = 0;
    for (let r = 1; r < n.length; ++r) t += Vt(e, n[r - 1], n[r]);
    return t;
  }
  function Vt(e, n, t) {
    let r = He(t, t.map((u, d) => d)), o = n.flatMap((u) => {
      let d = e.outEdges(u);
      return d ? d.map((c3) => ({ pos: r[c3.w], weight: e.edge(c3).weight })).sort((c3, f) => c3.pos - f.pos) : [];
    }), i = 1;
    for (; i < t.length; ) i <<= 1;
    let s3 = 2 * i - 1;
    i -= 1;
    let a2 = new Array(s3).fill(0), l = 0;
    return o.forEach((u) => {
      let d = u.pos + i;
      a2[d] += u.weight;
      let c3 = 0;
      for (; d > 0; ) d % 2 && (c3 += a2[d + 1]), d = d - 1 >> 1, a2[d] += u.weight;
      l += u.weight * c3;
    }), l;
  }
  function we(e, n = []) {
    return n.map((t) => {
      let r = e.inEdges(t);
      if (!r || !r.length) return { v: t };
      {
        let o = r.reduce((i, s3) => {
          let a2 = e.edge(s3), l = e.node(s3.v);
          return { sum: i.sum + a2.weight * l.order, weight: i.weight + a2.weight };
        }, { sum: 0, weight: 0 });
        return { v: t, barycenter: o.sum / o.weight, weight: o.weight };
      }
    });
  }
  function Ne(e, n) {
    let t = {};
    e.forEach((o, i) => {
      let s3 = { indegree: 0, in: [], out: [], vs: [o.v], i };
      o.barycenter !== void 0 && (s3.barycenter = o.barycenter, s3.weight = o.weight), t[o.v] = s3;
    }), n.edges().forEach((o) => {
      let i = t[o.v], s3 = t[o.w];
      i !== void 0 && s3 !== void 0 && (s3.indegree++, i.out.push(s3));
    });
    let r = Object.values(t).filter((o) => !o.indegree);
    return Yt(r);
  }
  function Yt(e) {
    let n = [];
    function t(o) {
      return (i) => {
        i.merged || (i.barycenter === void 0 || o.barycenter === void 0 || i.barycenter >= o.barycenter) && Bt(o, i);
      };
    }
    function r(o) {
      return (i) => {
        i.in.push(o), --i.indegree === 0 && e.push(i);
      };
    }
    for (; e.length; ) {
      let o = e.pop();
      n.push(o), o.in.reverse().forEach(t(o)), o.out.forEach(r(o));
    }
    return n.filter((o) => !o.merged).map((o) => W(o, ["vs", "i", "barycenter", "weight"]));
  }
  function Bt(e, n) {
    let t = 0, r = 0;
    e.weight && (t += e.barycenter * e.weight, r += e.weight), n.weight && (t += n.barycenter * n.weight, r += n.weight), e.vs = n.vs.concat(e.vs), e.barycenter = t / r, e.weight = r, e.i = Math.min(n.i, e.i), n.merged = true;
  }
  function Ge(e, n, t, r, o) {
    let i = {}, s3 = null, a2 = null, l = o;
    typeof n == "boolean" ? (l = n, i = {}) : n && (i = n, s3 = t != null ? t : null, a2 = r != null ? r : null);
    let u = ze(e, (y2) => Object.hasOwn(y2, "barycenter")), d = u.lhs, c3 = u.rhs.sort((y2, b) => b.i - y2.i), f = [], h2 = 0, g = 0, m = 0;
    d.sort(Wt(a2, s3, !!l));
    for (let [y2, b] of Object.entries(i)) {
      let p = d.findIndex((E2) => E2.vs[0] === y2);
      d.splice(p + 1, 0, b);
    }
    m = Ln(f, c3, m), d.forEach((y2) => {
      m += y2.vs.length, f.push(y2.vs), h2 += y2.barycenter * y2.weight, g += y2.weight, m = Ln(f, c3, m);
    });
    let L = { vs: f.flat(1) };
    return g && (L.barycenter = h2 / g, L.weight = g), L;
  }
  function Ln(e, n, t) {
    let r;
    for (; n.length && (r = n[n.length - 1]).i <= t; ) n.pop(), e.push(r.vs), t++;
    return t;
  }
  function Wt(e, n, t) {
    return (r, o) => {
      if (r.barycenter < o.barycenter) return -1;
      if (r.barycenter > o.barycenter) return 1;
      if (e && (typeof r.vs[0] == "string" || typeof o.vs[0] == "string")) {
        let i = e.node(r.vs[0]), s3 = e.node(o.vs[0]), a2 = ee(n, i, s3);
        if (a2 !== 0) return a2;
      }
      return t ? o.i - r.i : r.i - o.i;
    };
  }
  function te(e, n, t, r, o) {
    var y2, b, p, E2, w, k2, _, O, j, R, I;
    let i = null, s3 = o;
    typeof r == "boolean" ? (s3 = r, i = null) : r !== void 0 && (i = r);
    let a2 = e.children(n), l = e.node(n), u = l ? l.borderLeft : void 0, d = l ? l.borderRight : void 0, c3 = {};
    u && (a2 = a2.filter((v) => v !== u && v !== d));
    let f = we(e, a2);
    f.forEach((v) => {
      if (e.children(v.v).length) {
        let { result: x2 } = te(e, v.v, t, i, s3);
        c3[v.v] = x2, Object.hasOwn(x2, "barycenter") && zt(v, x2);
      }
    });
    let h2 = Ne(f, t);
    Xt(h2, c3);
    let g = {}, m = false;
    for (let v = 0; v < h2.length; v++) for (let x2 = v + 1; x2 < h2.length; x2++) if (!(!h2[v] || !h2[x2] || !((y2 = h2[v]) != null && y2.barycenter) || !((b = h2[x2]) != null && b.barycenter)) && ((p = h2[v]) == null ? void 0 : p.barycenter) === h2[x2].barycenter) {
      let G = (w = (E2 = h2[v]) == null ? void 0 : E2.vs[0]) != null ? w : "", N = (_ = (k2 = h2[x2]) == null ? void 0 : k2.vs[0]) != null ? _ : "", C2 = e.node(G), B2 = e.node(N);
      if (C2.dummy === "edge" && B2.dummy === "edge" && ((O = C2.edgeObj) == null ? void 0 : O.v) === ((j = B2.edgeObj) == null ? void 0 : j.v) && ((R = C2.edgeObj) == null ? void 0 : R.w) === ((I = B2.edgeObj) == null ? void 0 : I.w)) if (C2.edgeLabel.reversed) {
        g[N] = h2[v], h2.splice(v, 1), v--;
        break;
      } else g[G] || (g[G] = h2[x2], h2.splice(x2, 1), x2--);
      else m = true;
    }
    let L = Ge(h2, g, i, e, s3);
    if (u && d) {
      L.vs = [u, L.vs, d].flat(1);
      let v = e.predecessors(u);
      if (v && v.length) {
        let x2 = e.node(v[0]), G = e.predecessors(d), N = e.node(G[0]);
        Object.hasOwn(L, "barycenter") || (L.barycenter = 0, L.weight = 0), L.barycenter = (L.barycenter * L.weight + x2.order + N.order) / (L.weight + 2), L.weight += 2;
      }
    }
    return Object.defineProperty(L, "result", { value: L, enumerable: false, configurable: true, writable: true }), Object.defineProperty(L, "usedBias", { value: m, enumerable: false, configurable: true, writable: true }), L;
  }
  function Xt(e, n) {
    e.forEach((t) => {
      t.vs = t.vs.flatMap((r) => n[r] ? n[r].vs : r);
    });
  }
  function zt(e, n) {
    e.barycenter !== void 0 ? (e.barycenter = (e.barycenter * e.weight + n.barycenter * n.weight) / (e.weight + n.weight), e.weight += n.weight) : (e.barycenter = n.barycenter, e.weight = n.weight);
  }
  function ve(e, n, t, r) {
    r || (r = e.nodes());
    let o = Ht(e), i = new T({ compound: true }).setGraph({ root: o }).setDefaultNodeLabel((s3) => e.node(s3));
    return r.forEach((s3) => {
      let a2 = e.node(s3), l = e.parent(s3);
      if (a2.rank === n || a2.minRank <= n && n <= a2.maxRank) {
        i.setNode(s3), i.setParent(s3, l || o);
        let u = e[t](s3);
        u && u.forEach((d) => {
          let c3 = d.v === s3 ? d.w : d.v, f = i.edge(c3, s3), h2 = f !== void 0 ? f.weight : 0;
          i.setEdge(c3, s3, { weight: e.edge(d).weight + h2 });
        }), Object.hasOwn(a2, "minRank") && i.setNode(s3, { borderLeft: a2.borderLeft[n], borderRight: a2.borderRight[n] });
      }
    }), i;
  }
  function Ht(e) {
    let n;
    for (; e.hasNode(n = $("_root")); ) ;
    return n;
  }
  function ke(e, n, t) {
    let r = {}, o;
    t.forEach((i) => {
      let s3 = e.parent(i), a2, l;
      for (; s3; ) {
        if (a2 = e.parent(s3), a2 ? (l = r[a2], r[a2] = s3) : (l = o, o = s3), l && l !== s3) {
          n.setEdge(l, s3);
          return;
        }
        s3 = a2;
      }
    });
  }
  function re3(e, n = {}, t = null) {
    if (typeof n.customOrder == "function") {
      n.customOrder(e, re3);
      return;
    }
    let r = de(e), o = yn(e, D2(1, r + 1), "inEdges"), i = yn(e, D2(r - 1, -1, -1), "outEdges"), s3 = Le(e, t);
    if (wn(e, s3), n.disableOptimalOrderHeuristic) return;
    let a2 = Number.POSITIVE_INFINITY, l, u = n.constraints || [];
    for (let d = 0, c3 = 0; c3 < 4; ++d, ++c3) {
      qt(d % 2 ? o : i, d % 4 >= 2, u, t), s3 = P(e);
      let f = ye(e, s3);
      f < a2 ? (c3 = 0, l = Object.assign({}, s3), a2 = f) : f === a2 && (l = structuredClone(s3));
    }
    wn(e, l);
  }
  function yn(e, n, t) {
    let r = /* @__PURE__ */ new Map(), o = (i, s3) => {
      r.has(i) || r.set(i, []), r.get(i).push(s3);
    };
    for (let i of e.nodes()) {
      let s3 = e.node(i);
      if (typeof s3.rank == "number" && o(s3.rank, i), typeof s3.minRank == "number" && typeof s3.maxRank == "number") for (let a2 = s3.minRank; a2 <= s3.maxRank; a2++) a2 !== s3.rank && o(a2, i);
    }
    return n.map(function(i) {
      return ve(e, i, t, r.get(i) || []);
    });
  }
  function qt(e, n, t, r) {
    let o = true, i = new T();
    e.forEach(function(s3) {
      t.forEach((d) => i.setEdge(d.left, d.right));
      let a2 = s3.graph().root, { result: l, usedBias: u } = te(s3, a2, i, r, o);
      n && u && (o = !o), l.vs.forEach((d, c3) => s3.node(d).order = c3), ke(s3, i, l.vs);
    });
  }
  function wn(e, n) {
    Object.values(n).forEach((t) => t.forEach((r, o) => e.node(r).order = o));
  }
  function $t(e, n) {
    let t = {};
    function r(o, i) {
      let s3 = 0, a2 = 0, l = o.length, u = i[i.length - 1];
      return i.forEach((d, c3) => {
        let f = Jt(e, d), h2 = f ? e.node(f).order : l;
        (f || d === u) && (i.slice(a2, c3 + 1).forEach((g) => {
          let m = e.predecessors(g);
          m && m.forEach((L) => {
            let y2 = e.node(L), b = y2.order;
            (b < s3 || h2 < b) && !(y2.dummy && e.node(g).dummy) && Gn(t, L, g);
          });
        }), a2 = c3 + 1, s3 = h2);
      }), i;
    }
    return n.length && n.reduce(r), t;
  }
  function Ut(e, n) {
    let t = {};
    function r(a2) {
      var l;
      return ((l = e.node(a2)) == null ? void 0 : l.dummy) === "border";
    }
    if (!e.nodes().some(r)) return t;
    function i(a2, l, u, d, c3) {
      D2(l, u).forEach((f) => {
        let h2 = a2[f];
        if (h2 !== void 0 && e.node(h2).dummy) {
          let g = e.predecessors(h2);
          g && g.forEach((m) => {
            if (m === void 0) return;
            let L = e.node(m);
            L.dummy && (L.order < d || L.order > c3) && Gn(t, m, h2);
          });
        }
      });
    }
    function s3(a2, l) {
      let u = -1, d = -1, c3 = 0;
      return l.forEach((f, h2) => {
        if (r(f)) {
          let g = e.predecessors(f);
          if (g && g.length) {
            let m = g[0];
            if (m === void 0) return;
            d = e.node(m).order, i(l, c3, h2, u, d), c3 = h2, u = d;
          }
        }
        i(l, c3, l.length, d, a2.length);
      }), l;
    }
    return n.length && n.reduce(s3), t;
  }
  function Jt(e, n) {
    if (e.node(n).dummy) {
      let t = e.predecessors(n);
      if (t) return t.find((r) => e.node(r).dummy);
    }
  }
  function Gn(e, n, t) {
    if (n > t) {
      let o = n;
      n = t, t = o;
    }
    let r = e[n];
    r || (e[n] = r = {}), r[t] = true;
  }
  function Kt(e, n, t) {
    if (n > t) {
      let o = n;
      n = t, t = o;
    }
    let r = e[n];
    return r !== void 0 && Object.hasOwn(r, t);
  }
  function Qt(e, n, t, r, o) {
    let i = {}, s3 = {}, a2 = {};
    return n.forEach((l) => {
      l.forEach((u, d) => {
        i[u] = u, s3[u] = u, a2[u] = d;
      });
    }), n.forEach((l) => {
      let u = -1, d = -1, c3 = false, f = l, h2 = l.findIndex((g) => (o == null ? void 0 : o.includes(g)) || Nn(g, e, o));
      h2 > 0 && (f = [l[h2], ...l.slice(0, h2), ...l.slice(h2 + 1)], c3 = true), f.forEach((g) => {
        var L;
        let m = r(g);
        if (m && m.length) {
          o != null && o.includes(g) && (m = m.filter((p) => Nn(p, e, o)));
          let y2 = m.sort((p, E2) => {
            let w = a2[p], k2 = a2[E2];
            return (w !== void 0 ? w : 0) - (k2 !== void 0 ? k2 : 0);
          }), b = (y2.length - 1) / 2;
          for (let p = Math.floor(b), E2 = Math.ceil(b); p <= E2; ++p) {
            let w = y2[p];
            if (w === void 0) continue;
            let k2 = a2[w];
            if (k2 !== void 0 && s3[g] === g && u < k2 && a2[w] !== d && !Kt(t, g, w)) {
              let _ = i[w];
              _ !== void 0 && (s3[w] = g, s3[g] = i[g] = _, u = k2, c3 && (u = -1, d = (L = a2[w]) != null ? L : -1, c3 = false));
            }
          }
        }
      });
    }), { root: i, align: s3 };
  }
  function Zt(e, n, t, r, o = false) {
    let i = {}, s3 = er(e, n, t, o), a2 = o ? "borderLeft" : "borderRight";
    function l(h2, g) {
      let m = s3.nodes().slice(), L = {}, y2 = m.pop();
      for (; y2; ) {
        if (L[y2]) h2(y2);
        else {
          L[y2] = true, m.push(y2);
          for (let b of g(y2)) m.push(b);
        }
        y2 = m.pop();
      }
    }
    function u(h2) {
      let g = s3.inEdges(h2);
      g ? i[h2] = g.reduce((m, L) => {
        var p;
        let y2 = (p = i[L.v]) != null ? p : 0, b = s3.edge(L);
        return Math.max(m, y2 + (b !== void 0 ? b : 0));
      }, 0) : i[h2] = 0;
    }
    function d(h2) {
      let g = s3.outEdges(h2), m = Number.POSITIVE_INFINITY;
      g && (m = g.reduce((y2, b) => {
        let p = i[b.w], E2 = s3.edge(b);
        return Math.min(y2, (p !== void 0 ? p : 0) - (E2 !== void 0 ? E2 : 0));
      }, Number.POSITIVE_INFINITY));
      let L = e.node(h2);
      m !== Number.POSITIVE_INFINITY && L.borderType !== a2 && (i[h2] = Math.max(i[h2] !== void 0 ? i[h2] : 0, m));
    }
    function c3(h2) {
      return s3.predecessors(h2) || [];
    }
    function f(h2) {
      return s3.successors(h2) || [];
    }
    return l(u, c3), l(d, f), Object.keys(r).forEach((h2) => {
      var m;
      let g = t[h2];
      g !== void 0 && (i[h2] = (m = i[g]) != null ? m : 0);
    }), i;
  }
  function er(e, n, t, r) {
    let o = new T(), i = e.graph(), s3 = or(i.nodesep, i.edgesep, r);
    return n.forEach((a2) => {
      let l;
      a2.forEach((u) => {
        let d = t[u];
        if (d !== void 0) {
          if (o.setNode(d), l !== void 0) {
            let c3 = t[l];
            if (c3 !== void 0) {
              let f = o.edge(c3, d);
              o.setEdge(c3, d, Math.max(s3(e, u, l), f || 0));
            }
          }
          l = u;
        }
      });
    }), o;
  }
  function nr(e, n) {
    return Object.values(n).reduce((t, r) => {
      let o = Number.NEGATIVE_INFINITY, i = Number.POSITIVE_INFINITY;
      Object.entries(r).forEach(([a2, l]) => {
        let u = ir(e, a2) / 2;
        o = Math.max(l + u, o), i = Math.min(l - u, i);
      });
      let s3 = o - i;
      return s3 < t[0] && (t = [s3, r]), t;
    }, [Number.POSITIVE_INFINITY, null])[1];
  }
  function tr(e, n) {
    let t = Object.values(n), r = S(Math.min, t), o = S(Math.max, t);
    ["u", "d"].forEach((i) => {
      ["l", "r"].forEach((s3) => {
        let a2 = i + s3, l = e[a2];
        if (!l || l === n) return;
        let u = Object.values(l), d = r - S(Math.min, u);
        s3 !== "l" && (d = o - S(Math.max, u)), d && (e[a2] = X(l, (c3) => c3 + d));
      });
    });
  }
  function rr(e, n = void 0) {
    let t = e.ul;
    return t ? X(t, (r, o) => {
      var s3, a2;
      if (n) {
        let l = n.toLowerCase(), u = e[l];
        if (u && u[o] !== void 0) return u[o];
      }
      let i = Object.values(e).map((l) => {
        let u = l[o];
        return u !== void 0 ? u : 0;
      }).sort((l, u) => l - u);
      return (((s3 = i[1]) != null ? s3 : 0) + ((a2 = i[2]) != null ? a2 : 0)) / 2;
    }) : {};
  }
  function vn(e, n) {
    let t = P(e), r = Object.assign($t(e, t), Ut(e, t)), o = {}, i;
    ["u", "d"].forEach((a2) => {
      i = a2 === "u" ? t : Object.values(t).reverse(), ["l", "r"].forEach((l) => {
        l === "r" && (i = i.map((f) => Object.values(f).reverse()));
        let d = Qt(e, i, r, (f) => (a2 === "u" ? e.predecessors(f) : e.successors(f)) || [], n), c3 = Zt(e, i, d.root, d.align, l === "r");
        l === "r" && (c3 = X(c3, (f) => -f)), o[a2 + l] = c3;
      });
    });
    let s3 = nr(e, o);
    return tr(o, s3), rr(o, e.graph().align);
  }
  function or(e, n, t) {
    return (r, o, i) => {
      let s3 = r.node(o), a2 = r.node(i), l = 0, u;
      if (l += s3.width / 2, Object.hasOwn(s3, "labelpos")) switch (s3.labelpos.toLowerCase()) {
        case "l":
          u = -s3.width / 2;
          break;
        case "r":
          u = s3.width / 2;
          break;
      }
      if (u && (l += t ? u : -u), u = void 0, l += (s3.dummy ? n : e) / 2, l += (a2.dummy ? n : e) / 2, l += a2.width / 2, Object.hasOwn(a2, "labelpos")) switch (a2.labelpos.toLowerCase()) {
        case "l":
          u = a2.width / 2;
          break;
        case "r":
          u = -a2.width / 2;
          break;
      }
      return u && (l += t ? u : -u), l;
    };
  }
  function ir(e, n) {
    return e.node(n).width;
  }
  function Nn(e, n, t) {
    var s3;
    if (!t) return false;
    let r = (s3 = n.node(e)) == null ? void 0 : s3.edgeObj;
    if (!r || n.node(e).edgeLabel.reversed) return false;
    let o = t.indexOf(r == null ? void 0 : r.v), i = t.indexOf(r == null ? void 0 : r.w);
    return o !== -1 && i !== -1 && o === (i + 1) % t.length || o === (i - 1) % t.length;
  }
  function kn(e, n) {
    e = Z(e), sr(e), Object.entries(vn(e, n)).forEach(([t, r]) => e.node(t).x = r);
  }
  function sr(e) {
    let n = P(e), t = e.graph(), r = t.ranksep, o = t.rankalign, i = 0;
    n.forEach((s3) => {
      let a2 = s3.reduce((l, u) => {
        var c3;
        let d = (c3 = e.node(u).height) != null ? c3 : 0;
        return l > d ? l : d;
      }, 0);
      s3.forEach((l) => {
        let u = e.node(l);
        o === "top" ? u.y = i + u.height / 2 : o === "bottom" ? u.y = i + a2 - u.height / 2 : u.y = i + a2 / 2;
      }), i += a2 + r;
    });
  }
  var xn = /* @__PURE__ */ new WeakMap();
  function Oe(e, n = {}) {
    return In(e, q, n), e;
  }
  function _n(e, n, t) {
    let r = n;
    for (; r !== void 0; ) {
      let o = e.parent(r);
      if (o === t) return r;
      r = o;
    }
  }
  function In(e, n, t) {
    var y2;
    let r = e.nodes().filter((b) => e.children(b).length), o = {};
    r.forEach((b) => {
      let p = e.node(b);
      if (p && p.rankdir) {
        let E2 = new T({ multigraph: true, compound: true });
        E2.setGraph({ rankdir: p.rankdir });
        let w = e.children(b);
        w.forEach((G) => {
          let N = { ...e.node(G) };
          E2.setNode(G, N);
          let C2 = e.parent(G);
          C2 && C2 !== b && w.includes(C2) && E2.setParent(G, C2);
        });
        let k2 = /* @__PURE__ */ new Set();
        e.edges().forEach((G) => {
          let N = _n(e, G.v, b), C2 = _n(e, G.w, b);
          if (N === G.v && C2 === G.w) E2.setEdge(G, { ...e.edge(G) });
          else if (N && C2 && N !== C2) {
            let B2 = `${N}\0${C2}`;
            k2.has(B2) || (k2.add(B2), E2.setEdge(N, C2, { ...e.edge(G) }));
          }
        }), In(E2, n, t);
        let _ = Rn(E2);
        Cn(_, n, t, null), Tn(E2, _);
        let O = 1 / 0, j = 1 / 0, R = -1 / 0, I = -1 / 0;
        E2.nodes().forEach((G) => {
          if (G === b) return;
          let N = E2.node(G);
          N && typeof N.x == "number" && typeof N.y == "number" && typeof N.width == "number" && typeof N.height == "number" && (O = Math.min(O, N.x - N.width / 2), R = Math.max(R, N.x + N.width / 2), j = Math.min(j, N.y - N.height / 2), I = Math.max(I, N.y + N.height / 2));
        }), (!isFinite(O) || !isFinite(j) || !isFinite(R) || !isFinite(I)) && (O = j = 0, R = I = 0);
        let v = R - O, x2 = I - j;
        o[b] = { minX: O, minY: j, maxX: R, maxY: I, width: v, height: x2, offsetX: O, offsetY: j }, p._dagreClusterSubgraph = E2;
      }
    });
    let i = [], s3 = (b) => {
      let p = [], E2 = (e.children(b) || []).filter((w) => w !== b);
      for (; E2.length > 0; ) {
        let w = E2.shift();
        p.push(w), (e.children(w) || []).filter((k2) => k2 !== w).forEach((k2) => E2.push(k2));
      }
      return p;
    }, a2 = /* @__PURE__ */ new Map();
    r.forEach((b) => {
      let p = e.node(b);
      p && p.rankdir && o[b] && a2.set(b, (e.children(b) || []).filter((E2) => E2 !== b));
    });
    let l = new Set([...a2.values()].flat()), u = /* @__PURE__ */ new Map();
    a2.forEach((b, p) => {
      l.has(p) || u.set(p, s3(p));
    });
    let d = new Set([...u.values()].flat()), c3 = (b) => {
      for (let [p, E2] of u) if (E2.includes(b)) return p;
      return b;
    }, f = [];
    e.edges().forEach((b) => {
      (d.has(b.v) || d.has(b.w)) && f.push({ edge: b, label: e.edge(b) });
    });
    let h2 = /* @__PURE__ */ new Map();
    d.forEach((b) => {
      let p = e.parent(b);
      h2.set(b, typeof p == "string" ? p : void 0);
    }), u.forEach((b, p) => {
      let E2 = e.node(p), w = [];
      b.forEach((O) => {
        let j = e.node(O);
        j && (w.push({ id: O, node: j, parent: h2.get(O) }), e.removeNode(O));
      });
      let k2 = f.filter(({ edge: O }) => b.includes(O.v) || b.includes(O.w)), _ = o[p];
      E2 && (i.push({ clusterId: p, subgraph: E2._dagreClusterSubgraph, bounds: _, children: b, removedNodes: w, removedEdges: k2 }), E2.width = _.width, E2.height = _.height);
    });
    let g = /* @__PURE__ */ new Set();
    f.forEach(({ edge: b, label: p }) => {
      let E2 = c3(b.v), w = c3(b.w);
      if (E2 !== w && e.hasNode(E2) && e.hasNode(w)) {
        let k2 = `${E2}\0${w}`;
        g.has(k2) || (g.add(k2), e.setEdge(E2, w, { ...p, width: 0, height: 0 }));
      }
    });
    let m = Rn(e), L = Cn(m, n, t, (y2 = xn.get(e)) != null ? y2 : null);
    xn.set(e, L), Tn(e, m), g.forEach((b) => {
      let p = b.indexOf("\0"), E2 = b.slice(0, p), w = b.slice(p + 1);
      e.hasEdge(E2, w) && e.removeEdge(E2, w);
    }), i.forEach(({ clusterId: b, subgraph: p, bounds: E2, removedNodes: w, removedEdges: k2 }) => {
      var v, x2;
      let _ = e.node(b), O = (v = _ == null ? void 0 : _.x) != null ? v : 0, j = (x2 = _ == null ? void 0 : _.y) != null ? x2 : 0, R = (E2.minX + E2.maxX) / 2, I = (E2.minY + E2.maxY) / 2;
      w.forEach(({ id: G, node: N, parent: C2 }) => {
        e.setNode(G, N), C2 !== void 0 && e.setParent(G, C2);
      }), k2.forEach(({ edge: G, label: N }) => {
        e.setEdge(G, N);
      }), p.nodes().forEach((G) => {
        if (G === b) return;
        let N = p.node(G), C2 = e.node(G);
        C2 && N && typeof N.x == "number" && typeof N.y == "number" && (C2.x = O + (N.x - R), C2.y = j + (N.y - I));
      }), On(e, p, O - R, j - I), delete _._dagreClusterSubgraph;
    }), r.forEach((b) => {
      var w, k2;
      let p = e.node(b), E2 = o[b];
      if (p && p.rankdir && p._dagreClusterSubgraph && E2) {
        let _ = p._dagreClusterSubgraph, O = (w = p.x) != null ? w : 0, j = (k2 = p.y) != null ? k2 : 0, R = (E2.minX + E2.maxX) / 2, I = (E2.minY + E2.maxY) / 2;
        _.nodes().forEach((v) => {
          if (v === b) return;
          let x2 = _.node(v), G = e.node(v);
          if (G && x2 && typeof x2.x == "number" && typeof x2.y == "number") {
            let N = x2.x - R, C2 = x2.y - I;
            G.x = O + N, G.y = j + C2;
          }
        }), On(e, _, O - R, j - I), delete p._dagreClusterSubgraph;
      }
    });
  }
  function On(e, n, t, r) {
    n.edges().forEach((o) => {
      if (!e.hasEdge(o)) return;
      let i = n.edge(o), s3 = e.edge(o);
      s3.points = i.points.map((a2) => ({ x: a2.x + t, y: a2.y + r })), Object.hasOwn(i, "x") && (s3.x = i.x + t, s3.y = i.y + r);
    });
  }
  function Cn(e, n, t, r = null) {
    var l, u;
    let o = (t == null ? void 0 : t.useDynamic) !== false, i = o && (l = r == null ? void 0 : r.graph) != null ? l : null, s3 = o && (u = r == null ? void 0 : r.rawNodes) != null ? u : null;
    n("    makeSpaceForEdgeLabels", () => br(e)), n("    removeSelfEdges", () => Gr(e)), n("    acyclic", () => Ue(e, i)), n("    nestingGraph.run", () => un(e)), n("    rank", () => dn(Z(e))), n("    injectEdgeLabelProxies", () => gr(e)), n("    removeEmptyRanks", () => We(e)), n("    nestingGraph.cleanup", () => fn(e)), n("    normalizeRanks", () => Be(e)), n("    assignRankMinMax", () => pr(e)), n("    removeEdgeLabelProxies", () => mr(e)), n("    normalize.run", () => Ke(e)), n("    parentDummyChains", () => ln(e)), n("    addBorderSegments", () => bn(e)), n("    order", () => re3(e, t, s3)), n("    insertSelfEdges", () => vr(e)), n("    adjustCoordinateSystem", () => pn(e)), n("    position", () => kn(e, t.corePath)), n("    positionSelfEdges", () => kr2(e));
    let a2 = JSON.parse(JSON.stringify(e._nodes));
    return n("    removeBorderNodes", () => Nr(e)), n("    normalize.undo", () => Qe(e)), n("    fixupEdgeLabelCoords", () => yr(e)), n("    undoCoordinateSystem", () => mn(e)), n("    translateGraph", () => Er(e)), n("    assignNodeIntersects", () => Lr(e)), n("    reversePoints", () => wr(e)), n("    acyclic.undo", () => Je(e)), { graph: e, rawNodes: a2 };
  }
  function Tn(e, n) {
    e.nodes().forEach((t) => {
      let r = e.node(t), o = n.node(t);
      r && (r.x = o.x, r.y = o.y, r.order = o.order, r.rank = o.rank, n.children(t).length && (r.width = o.width, r.height = o.height));
    }), e.edges().forEach((t) => {
      let r = e.edge(t), o = n.edge(t);
      r.points = o.points, Object.hasOwn(o, "x") && (r.x = o.x, r.y = o.y);
    }), e.graph().width = n.graph().width, e.graph().height = n.graph().height;
  }
  var ar = ["nodesep", "edgesep", "ranksep", "marginx", "marginy"];
  var dr = { ranksep: 50, edgesep: 20, nodesep: 50, rankdir: "TB", rankalign: "center" };
  var lr = ["acyclicer", "ranker", "rankdir", "align", "rankalign"];
  var ur = ["width", "height", "rank"];
  var jn = { width: 0, height: 0 };
  var cr = ["minlen", "weight", "width", "height", "labeloffset"];
  var fr = { minlen: 1, weight: 1, width: 0, height: 0, labeloffset: 10, labelpos: "r" };
  var hr = ["labelpos"];
  function Rn(e) {
    let n = new T({ multigraph: true, compound: true }), t = _e(e.graph());
    return n.setGraph(Object.assign({}, dr, xe(t, ar), W(t, lr))), e.nodes().forEach((r) => {
      let o = _e(e.node(r)), i = xe(o, ur);
      Object.keys(jn).forEach((a2) => {
        i[a2] === void 0 && (i[a2] = jn[a2]);
      }), n.setNode(r, i);
      let s3 = e.parent(r);
      s3 !== void 0 && n.setParent(r, s3);
    }), e.edges().forEach((r) => {
      let o = _e(e.edge(r));
      n.setEdge(r, Object.assign({}, fr, xe(o, cr), W(o, hr)));
    }), n;
  }
  function br(e) {
    let n = e.graph();
    n.ranksep /= 2, e.edges().forEach((t) => {
      var o;
      let r = e.edge(t);
      r.minlen *= 2, ((o = r.labelpos) != null ? o : "r").toLowerCase() !== "c" && (n.rankdir === "TB" || n.rankdir === "BT" ? r.width += r.labeloffset : r.height += r.labeloffset);
    });
  }
  function gr(e) {
    e.edges().forEach((n) => {
      let t = e.edge(n);
      if (t.width && t.height) {
        let r = e.node(n.v), i = { rank: (e.node(n.w).rank - r.rank) / 2 + r.rank, e: n };
        M2(e, "edge-proxy", i, "_ep");
      }
    });
  }
  function pr(e) {
    let n = 0;
    e.nodes().forEach((t) => {
      let r = e.node(t);
      r.borderTop && (r.minRank = e.node(r.borderTop).rank, r.maxRank = e.node(r.borderBottom).rank, n = Math.max(n, r.maxRank));
    }), e.graph().maxRank = n;
  }
  function mr(e) {
    e.nodes().forEach((n) => {
      let t = e.node(n);
      if (t.dummy === "edge-proxy") {
        let r = t;
        e.edge(r.e).labelRank = t.rank, e.removeNode(n);
      }
    });
  }
  function Er(e) {
    let n = Number.POSITIVE_INFINITY, t = 0, r = Number.POSITIVE_INFINITY, o = 0, i = e.graph(), s3 = i.marginx || 0, a2 = i.marginy || 0;
    function l(u) {
      let d = u.x, c3 = u.y, f = u.width, h2 = u.height;
      n = Math.min(n, d - f / 2), t = Math.max(t, d + f / 2), r = Math.min(r, c3 - h2 / 2), o = Math.max(o, c3 + h2 / 2);
    }
    e.nodes().forEach((u) => l(e.node(u))), e.edges().forEach((u) => {
      let d = e.edge(u);
      Object.hasOwn(d, "x") && l(d);
    }), n -= s3, r -= a2, e.nodes().forEach((u) => {
      let d = e.node(u);
      d.x -= n, d.y -= r;
    }), e.edges().forEach((u) => {
      let d = e.edge(u);
      d.points.forEach((c3) => {
        c3.x -= n, c3.y -= r;
      }), Object.hasOwn(d, "x") && (d.x -= n), Object.hasOwn(d, "y") && (d.y -= r);
    }), i.width = t - n + s3, i.height = o - r + a2;
  }
  function Lr(e) {
    e.edges().forEach((n) => {
      if (n.v === n.w) return;
      let t = e.edge(n), r = e.node(n.v), o = e.node(n.w), i, s3;
      t.points ? (i = t.points[0], s3 = t.points[t.points.length - 1]) : (t.points = [], i = o, s3 = r), t.points.unshift(se(r, i)), t.points.push(se(o, s3));
    });
  }
  function yr(e) {
    e.edges().forEach((n) => {
      let t = e.edge(n);
      if (Object.hasOwn(t, "x")) switch ((t.labelpos === "l" || t.labelpos === "r") && (t.width -= t.labeloffset), t.labelpos) {
        case "l":
          t.x -= t.width / 2 + t.labeloffset;
          break;
        case "r":
          t.x += t.width / 2 + t.labeloffset;
          break;
      }
    });
  }
  function wr(e) {
    e.edges().forEach((n) => {
      let t = e.edge(n);
      t.reversed && t.points.reverse();
    });
  }
  function Nr(e) {
    e.nodes().forEach((n) => {
      if (e.children(n).length) {
        let t = e.node(n), r = e.node(t.borderTop), o = e.node(t.borderBottom), i = e.node(t.borderLeft[t.borderLeft.length - 1]), s3 = e.node(t.borderRight[t.borderRight.length - 1]);
        t.width = Math.abs(s3.x - i.x), t.height = Math.abs(o.y - r.y), t.x = i.x + t.width / 2, t.y = r.y + t.height / 2;
      }
    }), e.nodes().forEach((n) => {
      e.node(n).dummy === "border" && e.removeNode(n);
    });
  }
  function Gr(e) {
    e.edges().forEach((n) => {
      if (n.v === n.w) {
        let t = e.node(n.v);
        t.selfEdges || (t.selfEdges = []), t.selfEdges.push({ e: n, label: e.edge(n) }), e.removeEdge(n);
      }
    });
  }
  function vr(e) {
    P(e).forEach((t) => {
      let r = 0;
      t.forEach((o, i) => {
        let s3 = e.node(o);
        typeof s3.rank != "number" && (s3.rank = 0), s3.order = i + r, (s3.selfEdges || []).forEach((a2) => {
          M2(e, "selfedge", { width: a2.label.width, height: a2.label.height, rank: s3.rank, order: i + ++r, e: a2.e, edgeLabel: a2.label }, "_se"), (!Array.isArray(a2.label.points) || a2.label.points.length !== 7) && (a2.label.points = [{ x: 0, y: -10 }, { x: 0, y: -10 }, { x: 0, y: 0 }, { x: 0, y: 10 }, { x: 0, y: 10 }, { x: 0, y: 0 }, { x: 0, y: 0 }]);
        }), delete s3.selfEdges;
      });
    });
  }
  function kr2(e) {
    e.nodes().forEach((n) => {
      let t = e.node(n), r = (o) => typeof o == "number" && isFinite(o);
      if (t.dummy === "selfedge") {
        let o = t, i = e.node(o.e.v), s3 = r(i == null ? void 0 : i.x) ? i.x : 0, a2 = r(i == null ? void 0 : i.y) ? i.y : 0, l = r(i == null ? void 0 : i.width) ? i.width : 0, u = r(i == null ? void 0 : i.height) ? i.height : 0, d = r(t.x) ? t.x : s3, c3 = r(t.y) ? t.y : a2, f = l / 2, h2 = u / 2;
        o.edgeLabel.points = [{ x: d + f, y: c3 - h2 }, { x: d + f, y: c3 - h2 }, { x: d, y: c3 }, { x: d - f, y: c3 + h2 }, { x: d - f, y: c3 + h2 }, { x: d, y: c3 }, { x: d, y: c3 }], o.edgeLabel.x = d, o.edgeLabel.y = c3, e.setEdge(o.e, o.edgeLabel), e.removeNode(n);
      } else t && Array.isArray(t.selfEdges) && t.selfEdges.forEach((o) => {
        if (!Array.isArray(o.label.points) || o.label.points.length !== 7) {
          let i = r(t.x) ? t.x : 0, s3 = r(t.y) ? t.y : 0, a2 = r(t.width) ? t.width : 0, l = r(t.height) ? t.height : 0, u = a2 / 2, d = l / 2;
          o.label.points = [{ x: i + u, y: s3 - d }, { x: i + u, y: s3 - d }, { x: i, y: s3 }, { x: i - u, y: s3 + d }, { x: i - u, y: s3 + d }, { x: i, y: s3 }, { x: i, y: s3 }];
        }
      });
    });
  }
  function xe(e, n) {
    return X(W(e, n), Number);
  }
  function _e(e) {
    let n = {};
    return e && Object.entries(e).forEach(([t, r]) => {
      typeof t == "string" && (t = t.toLowerCase()), n[t] = r;
    }), n;
  }

  // src/graph/layout.js
  var WIDTH = 168;
  var HEIGHT2 = 58;
  function layout(graph, room) {
    const across = set(graph, true);
    return across.width <= room ? across : set(graph, false);
  }
  function set({ nodes, edges }, across) {
    const graph = new T();
    graph.setGraph({ rankdir: across ? "LR" : "TB", nodesep: across ? 22 : 20, ranksep: across ? 72 : 46, marginx: 2, marginy: 8 });
    graph.setDefaultEdgeLabel(() => ({}));
    for (const { id } of nodes) graph.setNode(String(id), { width: WIDTH, height: HEIGHT2 });
    for (const { from, to } of edges) graph.setEdge(String(from), String(to));
    Oe(graph);
    const { width, height } = graph.graph();
    return {
      width,
      height,
      nodes: nodes.map((node2) => ({ ...node2, ...box(graph.node(String(node2.id))) })),
      edges: edges.map((edge) => ({ ...edge, points: graph.edge(String(edge.from), String(edge.to)).points }))
    };
  }
  var box = ({ x: x2, y: y2 }) => ({ x: x2 - WIDTH / 2, y: y2 - HEIGHT2 / 2, width: WIDTH, height: HEIGHT2 });

  // src/graph/simplify.js
  var PLUMBING = /^(as_?collection|branch|concat\w*|consolidate\w*|distinct\w*|egress|enter\w*|exchange|feedback|filter|flat_?map\w*|ingress|inspect\w*|leave\w*|map\w*|negate|ok_?err|partition|rename|results_in|to_?stream)\b/i;
  function simplify({ operators, channels }, all) {
    const by = new Map(operators.map((operator) => [operator.id, operator]));
    const outermost = (id) => operators.some(({ scope }) => scope === id) && (by.get(id)?.scope ?? null) === null;
    const nodes = /* @__PURE__ */ new Map();
    const drawn = (id) => {
      let at3 = by.get(id);
      while (at3 && at3.scope !== null && by.has(at3.scope) && !outermost(at3.scope)) at3 = by.get(at3.scope);
      return at3 && !outermost(at3.id) ? at3 : null;
    };
    for (const operator of operators) {
      const at3 = drawn(operator.id);
      if (!at3) continue;
      const node2 = nodes.get(at3.id) ?? { id: at3.id, name: at3.name, records: at3.records, state: null, bytes: null, inside: -1 };
      node2.inside += 1;
      node2.state = sum2(node2.state, operator.state_records);
      node2.bytes = sum2(node2.bytes, operator.state_bytes);
      nodes.set(at3.id, node2);
    }
    const edges = /* @__PURE__ */ new Map();
    const join = (from, to, records) => {
      if (from === to) return;
      const key = `${from} ${to}`;
      const edge = edges.get(key);
      if (edge) edge.records += records;
      else edges.set(key, { from, to, records });
    };
    for (const { from, to, records } of channels) {
      const [one3, other] = [drawn(from), drawn(to)];
      if (one3 && other) join(one3.id, other.id, records);
    }
    const before = nodes.size;
    if (!all) {
      for (const node2 of [...nodes.values()]) if (isPlumbing(node2)) bypass(node2.id, nodes, edges, join);
    }
    return { nodes: [...nodes.values()], edges: [...edges.values()], hidden: before - nodes.size };
  }
  function isPlumbing({ name, state: state2, inside }) {
    return inside === 0 && !(state2 > 0) && PLUMBING.test(name);
  }
  function bypass(id, nodes, edges, join) {
    const all = [...edges.entries()];
    const [into, out] = [all.filter(([, { to }]) => to === id), all.filter(([, { from }]) => from === id)];
    if (into.length === 0 || out.length === 0 || into.length > 1 && out.length > 1) return;
    for (const [key] of [...into, ...out]) edges.delete(key);
    for (const [, { from, records: came }] of into) {
      for (const [, { to, records: went }] of out) join(from, to, into.length > 1 ? came : went);
    }
    nodes.delete(id);
  }
  var sum2 = (one3, other) => one3 === null && (other === null || other === void 0) ? null : (one3 ?? 0) + (other ?? 0);

  // src/parts/dataflow.js
  function dataflow() {
    const body = byId("dataflow-body");
    const [chart, empty3] = [h("div", { class: "graph-scroll", tabindex: "0", role: "region", "aria-label": "Drawing of the dataflow" }), h("p", { class: "empty" })];
    const list = operatorTable();
    const state2 = { graph: null, before: null, view: "Main operators", laid: null, shape: "", untold: false };
    const views = choice("View of the dataflow", ["Main operators", "All operators", "Table"], (view) => {
      state2.view = view;
      show();
    });
    views.choose("Main operators");
    new ResizeObserver(show).observe(body);
    function show() {
      if (!state2.graph) return;
      const wanted = state2.view === "Table" ? list.element : chart;
      if (body.lastChild !== wanted) body.replaceChildren(views.element, wanted);
      const paces = pace(state2.before, state2.graph);
      if (state2.view === "Table") list.update(state2.graph.operators.map((one3) => ({ ...one3, rate: paces.node(one3.id) })));
      else drawn(paces);
    }
    function drawn(paces) {
      const simple = simplify(state2.graph, state2.view === "All operators");
      const room = body.clientWidth;
      const shape = JSON.stringify([room, simple.nodes.map(({ id }) => id), simple.edges.map(({ from, to }) => [from, to])]);
      if (shape !== state2.shape) [state2.shape, state2.laid] = [shape, layout(simple, room)];
      const by = new Map(simple.nodes.map((node2) => [node2.id, node2]));
      const laid = {
        ...state2.laid,
        nodes: state2.laid.nodes.map((node2) => ({ ...node2, ...by.get(node2.id) })),
        edges: state2.laid.edges.map((edge, at3) => ({ ...edge, records: simple.edges[at3].records }))
      };
      const before = state2.before ? simplify(state2.before.graph, state2.view === "All operators") : null;
      const earlier = new Map(before?.edges.map(({ from, to, records }) => [`${from} ${to}`, records]));
      const now2 = new Map(simple.edges.map(({ from, to, records }) => [`${from} ${to}`, records]));
      const flow = (from, to) => paces.per(earlier.get(`${from} ${to}`), now2.get(`${from} ${to}`));
      chart.replaceChildren(draw(laid, paces.node, flow));
      const left2 = simple.hidden > 0 ? `, ${number6(simple.hidden)} that only pass records on left out` : "";
      write(byId("dataflow-note"), counted(simple.nodes.length, "operator", number6(simple.nodes.length)) + left2);
    }
    return async () => {
      if (state2.untold) return;
      try {
        const graph = await askJson("/graph");
        const at3 = performance.now();
        state2.before = state2.graph ? { graph: state2.graph, at: state2.at, now: at3 } : null;
        Object.assign(state2, { graph, at: at3 });
        show();
      } catch (error) {
        if (!(error instanceof Refused) || state2.graph) return;
        state2.untold = error.status === 404;
        write(empty3, error.status === 404 ? "This pinflow does not tell what its dataflow looks like." : `Not yet: ${error.message}.`);
        if (body.firstChild !== empty3) body.replaceChildren(empty3);
      }
    };
  }
  function pace(before, graph) {
    const seconds2 = before ? (before.now - before.at) / 1e3 : 0;
    const records = new Map(before?.graph.operators.map((one3) => [one3.id, one3.records]));
    const current = new Map(graph.operators.map((one3) => [one3.id, one3.records]));
    const per = (was, is) => seconds2 > 0 && was !== void 0 && is >= was ? (is - was) / seconds2 : null;
    return { per, node: (id) => per(records.get(id), current.get(id)) };
  }
  function operatorTable() {
    const figure2 = (value2) => value2 === null || value2 === void 0 ? "–" : number6(Math.round(value2));
    return table("Operators", [
      { key: "name", title: "Operator" },
      { key: "id", title: "Number", numeric: true },
      { key: "records", title: "Records", numeric: true, shown: figure2 },
      { key: "rate", title: "Records/s", numeric: true, shown: figure2 },
      { key: "state_records", title: "Held records", numeric: true, shown: figure2 },
      { key: "state_bytes", title: "Held bytes", numeric: true, shown: (value2) => value2 === null ? "–" : bytes(value2) }
    ]);
  }

  // src/parts/gate.js
  function gate() {
    const [dialog, form, input, why] = [byId("gate"), byId("gate-form"), byId("gate-token"), byId("gate-why")];
    const first2 = why.textContent;
    let waiting = [];
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      keep(input.value.trim());
      input.value = "";
      dialog.close();
      const all = waiting;
      waiting = [];
      for (const go of all) go();
    });
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    return () => new Promise((resolve) => {
      waiting.push(resolve);
      write(why, token() ? "That token does not open this pinflow. Try another one." : first2);
      if (!dialog.open) dialog.showModal();
    });
  }

  // src/charts/tide.js
  function tide(points, of, { width, height, title }) {
    const shown2 = points.map(({ at: at3, [of]: value3 }) => ({ at: new Date(at3), value: value3 }));
    const known = shown2.filter(({ value: value3 }) => value3 !== null);
    const most = Math.max(1, ...known.map(({ value: value3 }) => value3));
    const [first2, last] = [shown2[0].at, shown2.at(-1).at];
    const begin = new Date(Math.min(first2.getTime(), last.getTime() - 6e4));
    const value2 = known.at(-1)?.value;
    const words2 = `${title} from ${clock(first2)} to ${clock(last)}: now ${rate(value2)}, at most ${number6(Math.round(most))}.`;
    return drawing(words2, {
      width,
      height,
      margin: 0,
      marginTop: 8,
      marginBottom: 24,
      marginLeft: 46,
      marginRight: 30,
      x: { type: "time", domain: [begin, last], ticks: Math.min(5, Math.max(2, Math.round(width / 150))), tickSize: 0, tickFormat: clock, label: null },
      y: { domain: [0, most], nice: true, ticks: height > 110 ? 4 : 2, tickSize: 0, tickFormat: short, label: null },
      marks: [
        gridY({ stroke: "var(--rule)", strokeOpacity: 1, ticks: height > 110 ? 4 : 2 }),
        areaY(shown2, { x: "at", y: "value", fill: of === "rate" ? "var(--water-2)" : "var(--buff)", curve: "monotone-x" }),
        lineY(shown2, { x: "at", y: "value", stroke: of === "rate" ? "var(--flow)" : "var(--buff-line)", strokeWidth: 1.75, curve: "monotone-x" }),
        dot(known.slice(-1), { x: "at", y: "value", r: 3.5, fill: of === "rate" ? "var(--flow)" : "var(--buff-line)" })
      ]
    });
  }

  // src/parts/now.js
  function now() {
    const figures = pairs2(byId("figures"));
    const [flow, lag2] = [panel("Records a second", "rate"), panel("Still to be read", "lag")];
    byId("tides").append(flow.element, lag2.element);
    lag2.element.hidden = true;
    return (status2, history) => {
      const sum3 = (of) => status2.sources.reduce((total, source) => total + (source[of] ?? 0), 0);
      const [pace3, left2] = [history.rate(), history.points.at(-1)?.lag ?? null];
      const { resident_bytes: resident, symbols: symbols2 } = status2.memory;
      const again = sum3("redelivered");
      write(byId("pace"), pace3 === null ? "–" : rate(pace3));
      figures([
        ["Read", number6(sum3("read")), again > 0 ? `${number6(again)} delivered again` : ""],
        ["Still to be read", left2 === null ? "–" : number6(left2), left2 === null ? "these sources do not tell" : late(status2)],
        ["Rejected", number6(sum3("rejected")), share(sum3("rejected"), sum3("read"))],
        ["Rows in tables", status2.tables.length > 0 ? number6(rows(status2.tables)) : "–", status2.tables.length > 0 ? durable(status2) : "no tables are kept"],
        ["Memory", resident === null ? "–" : bytes(resident), `${number6(symbols2)} texts`],
        ["Up", span(status2.uptime_seconds), `pinflow ${status2.version}`]
      ]);
      flow.show(history.points);
      lag2.show(history.points);
      lag2.element.hidden = history.points.every((point3) => point3.lag === null);
    };
  }
  var rows = (tables2) => tables2.reduce((total, table2) => total + table2.rows, 0);
  function durable({ epoch, durable_epoch: committed }) {
    return committed !== null && committed >= epoch ? "all that was read" : "more with the next commit";
  }
  function late(status2) {
    const most = Math.max(...status2.sources.map((source) => source.lag_ms ?? 0));
    return most > 0 ? `${rate(most / 1e3)} s late` : "";
  }
  function share(part, whole) {
    if (part === 0 || whole === 0) return "";
    const percent = part / whole * 100;
    return percent < 0.01 ? "below 0.01 %" : `${percent.toFixed(percent < 1 ? 2 : 1)} % of what was read`;
  }
  function panel(title, of) {
    const body = h("div", { class: "tide-body" }, h("p", { class: "empty" }, "Waiting for the first figures…"));
    const element = h("figure", { class: `tide tide-${of}` }, h("figcaption", {}, title), body);
    let [width, points] = [0, []];
    const draw2 = () => {
      if (width === 0 || points.filter((point3) => point3[of] !== null).length < 2) return;
      body.replaceChildren(tide(points, of, { width: width / unit3(), height: body.clientHeight / unit3(), title }));
    };
    new ResizeObserver(([{ contentRect }]) => {
      if (Math.abs(contentRect.width - width) < 1) return;
      width = contentRect.width;
      draw2();
    }).observe(body);
    return {
      element,
      show(now2) {
        points = now2;
        draw2();
      }
    };
  }

  // src/parts/rejected.js
  var ASKED = 50;
  var LISTED2 = 10;
  function rejected() {
    const body = byId("rejected-body");
    const list = h("ul", { class: "rejections" });
    const more = h("button", { type: "button", class: "quiet more", onclick: all });
    let [known, closed, rows2, listed] = [-1, false, [], LISTED2];
    function all() {
      listed = ASKED;
      fill();
    }
    function fill() {
      const open = new Set([...list.querySelectorAll("details[open]")].map((details) => details.dataset.key));
      list.replaceChildren(...rows2.slice(0, listed).map((row) => entry(row, open)));
      more.hidden = rows2.length <= listed;
      write(more, `${number6(rows2.length - listed)} more`);
    }
    return async (status2) => {
      const count2 = status2.sources.reduce((total, source) => total + source.rejected, 0);
      if (count2 === known || closed) return;
      try {
        rows2 = await askJson(`/rejected?limit=${ASKED}`);
        known = count2;
        write(byId("rejected-note"), rows2.length === 0 ? "" : `The last ${number6(rows2.length)} of ${number6(count2)}, newest first`);
        body.replaceChildren(...rows2.length === 0 ? [none2(count2)] : [list, more]);
        fill();
      } catch (error) {
        if (!(error instanceof Refused) || error.status !== 403) return;
        closed = true;
        body.replaceChildren(h("p", { class: "empty" }, "This token shows answers, not messages. An admin token shows both."));
      }
    };
  }
  function none2(count2) {
    const words2 = count2 === 0 ? "None. Everything that was read became a row." : "None since this run began.";
    return h("p", { class: "empty" }, words2);
  }
  function entry(row, open) {
    const key = `${row._source} ${row._position} ${row._sub}`;
    const place = `${row._source} @ ${position2(row._position)}${row._sub > 0 ? `.${row._sub}` : ""}`;
    const binary = row.payload === null && row.payload_base64 !== null;
    const shown2 = (binary ? row.payload_base64 : row.payload) ?? "";
    const head2 = new TextEncoder().encode(row.payload ?? "").length;
    const size = [bytes(row.payload_bytes), binary ? "not text, so in base64" : "", !binary && head2 < row.payload_bytes ? "its beginning" : ""];
    return h(
      "li",
      {},
      h(
        "details",
        { "data-key": key, open: open.has(key) },
        h(
          "summary",
          {},
          h("span", { class: "reason" }, row.reason.replaceAll("_", " ")),
          h("span", { class: "detail" }, row.detail),
          h("span", { class: "place" }, place),
          h("time", { datetime: row.rejected_at }, clock(row.rejected_at))
        ),
        h("p", { class: "payload-note" }, `${row.stream ?? "unknown stream"}, ${size.filter(Boolean).join(", ")}`),
        h("pre", { class: "payload", tabindex: "0", "aria-label": "Payload" }, shown2)
      )
    );
  }

  // src/parts/sections.js
  function sections() {
    const links = new Map([...byId("sections").querySelectorAll("a")].map((link2) => [link2.hash.slice(1), link2]));
    const seen = /* @__PURE__ */ new Set();
    const watch = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) isIntersecting ? seen.add(target.id) : seen.delete(target.id);
        const current = [...links.keys()].find((id) => seen.has(id));
        for (const [id, link2] of links) {
          if (id === current) link2.setAttribute("aria-current", "true");
          else link2.removeAttribute("aria-current");
        }
      },
      { rootMargin: "0px 0px -60% 0px" }
    );
    for (const id of links.keys()) watch.observe(byId(id));
  }

  // src/parts/sources.js
  var figure = (value2) => value2 === null ? "–" : number6(value2);
  function sources() {
    const list = table(
      "Sources",
      [
        { key: "source", title: "Partition" },
        { key: "position", title: "Position", numeric: true, shown: position2, by: ({ position: text2 }) => text2.padStart(64) },
        { key: "lag", title: "Lag", numeric: true, shown: lag },
        { key: "rate", title: "Records/s", numeric: true, shown: figure },
        { key: "read", title: "Read", numeric: true, shown: figure },
        { key: "written", title: "Written", numeric: true, shown: figure },
        { key: "rejected", title: "Rejected", numeric: true, shown: (value2) => value2 > 0 ? h("span", { class: "wrong" }, number6(value2)) : "0" },
        { key: "redelivered", title: "Redelivered", numeric: true, shown: figure }
      ],
      { shown: 24 }
    );
    byId("sources-body").replaceChildren(list.element);
    let before = null;
    return (status2, now2) => {
      const paced = status2.sources.map((source) => ({ ...source, rate: pace2(before, source, now2) }));
      before = { at: now2, read: new Map(status2.sources.map(({ source, read }) => [source, read])) };
      write(byId("sources-note"), counted(paced.length, "partition", number6(paced.length)));
      list.update(paced);
    };
  }
  function pace2(before, { source, read }, now2) {
    const last = before?.read.get(source);
    if (last === void 0 || read < last) return null;
    return Math.round((read - last) * 1e3 / (now2 - before.at));
  }
  function lag(value2, { lag_ms: late2 }) {
    const [records, time2] = [value2 === null ? "–" : number6(value2), late2 ? ` (${span(late2 / 1e3)})` : ""];
    return records + time2;
  }

  // src/parts/tables.js
  function tables() {
    const list = table("Tables", [
      { key: "table", title: "Table" },
      { key: "version", title: "Version", numeric: true, shown: number6 },
      { key: "rows", title: "Rows", numeric: true, shown: number6 },
      { key: "files", title: "Files", numeric: true, shown: number6 }
    ]);
    const none3 = h("p", { class: "empty" }, "This run keeps no tables: its answers live as long as it does.");
    const body = byId("tables-body");
    return (status2) => {
      const durable2 = status2.durable_epoch;
      const wanted = status2.tables.length > 0 ? list.element : none3;
      if (body.firstChild !== wanted) body.replaceChildren(wanted);
      const behind = durable2 === null ? null : status2.epoch - durable2;
      write(byId("tables-note"), behind === null ? "" : behind > 0 ? `${number6(behind)} epochs wait for the next commit` : "All that is shown is committed");
      list.update(status2.tables);
    };
  }

  // src/parts/theme.js
  var KEY2 = "pinflow.theme";
  function theme() {
    const button = byId("theme");
    const system = matchMedia("(prefers-color-scheme: dark)");
    const dark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
    const name = () => write(button, dark() ? "Light" : "Dark");
    button.setAttribute("aria-label", "Change between light and dark");
    button.addEventListener("click", () => {
      const chosen = dark() ? "light" : "dark";
      document.documentElement.dataset.theme = chosen;
      try {
        localStorage.setItem(KEY2, chosen);
      } catch {
      }
      name();
    });
    system.addEventListener("change", name);
    name();
  }

  // src/state/history.js
  var KEEP_MS = 10 * 6e4;
  var LOOKS = 4;
  var KEY3 = "pinflow.history";
  var History = class {
    /** @type {Point[]} */
    points = [];
    #restored = false;
    /**
     * Adds what a `/status` says.
     *
     * @param {any} status
     * @param {number} now milliseconds
     */
    add(status2, now2) {
      if (!this.#restored) this.points = restore(now2);
      this.#restored = true;
      const sum3 = (of) => status2.sources.reduce((total, source) => total + (source[of] ?? 0), 0);
      const lags = status2.sources.map((source) => source.lag).filter((lag3) => lag3 !== null && lag3 !== void 0);
      const lag2 = lags.length > 0 ? lags.reduce((total, one3) => total + one3, 0) : null;
      const point3 = { at: now2, read: sum3("read"), rejected: sum3("rejected"), lag: lag2, rate: null };
      point3.rate = since(this.points.at(-LOOKS) ?? this.points[0], point3);
      this.points.push(point3);
      this.points = this.points.filter(({ at: at3 }) => now2 - at3 <= KEEP_MS);
      save(this.points);
    }
    /** Records a second now; null if that is not known. */
    rate() {
      return this.points.at(-1)?.rate ?? null;
    }
  };
  function since(before, now2) {
    if (!before || now2.read < before.read) return null;
    const seconds2 = (now2.at - before.at) / 1e3;
    return seconds2 > 0 && seconds2 < 30 ? (now2.read - before.read) / seconds2 : null;
  }
  function restore(now2) {
    try {
      const points = JSON.parse(sessionStorage.getItem(KEY3) ?? "[]");
      return Array.isArray(points) ? points.filter(({ at: at3 }) => now2 - at3 <= KEEP_MS && at3 <= now2) : [];
    } catch {
      return [];
    }
  }
  function save(points) {
    try {
      sessionStorage.setItem(KEY3, JSON.stringify(points));
    } catch {
    }
  }

  // src/main.js
  var STATUS_MS = 1e3;
  var GRAPH_MS = 2e3;
  var [held, past] = [new Answers(), new History()];
  var parts = { block: block(), now: now(), sources: sources(), tables: tables(), rejected: rejected(), dataflow: dataflow() };
  var drawAnswers = answers(held);
  var at2 = { connection: { kind: "connecting" }, run: { state: "running", epoch: 0, as_of: null, durable_epoch: null } };
  theme();
  sections();
  follow({
    epoch(events2) {
      drawAnswers([...held.take(events2, performance.now())]);
      cut3();
    },
    state(connection) {
      at2.connection = connection;
      state();
    },
    unlocked: gate()
  });
  poll(STATUS_MS, status);
  poll(GRAPH_MS, async () => {
    if (at2.connection.kind === "live") await parts.dataflow();
  });
  async function status() {
    if (at2.connection.kind !== "live" && at2.connection.kind !== "waiting") return;
    try {
      const told = await askJson("/status");
      const when = Date.now();
      past.add(told, when);
      at2.run = told;
      parts.block.run(told);
      parts.now(told, past);
      parts.sources(told, when);
      parts.tables(told);
      await parts.rejected(told);
      state();
      cut3();
    } catch (error) {
      if (!(error instanceof Refused) && !(error instanceof TypeError) && error.name !== "TimeoutError") throw error;
    }
  }
  function state() {
    const { kind, why } = at2.connection;
    if (kind === "waiting") parts.block.state("rebuilding", at2.run.state === "rebuilding" ? at2.run.waits_for : why);
    else if (kind === "live" && at2.run.state === "paused") parts.block.state("paused", at2.run.waits_for);
    else parts.block.state(kind, kind === "lost" ? why : "");
  }
  function cut3() {
    const { epoch, as_of: asOf, durable_epoch: durable2 } = at2.run;
    if (Math.max(epoch, held.epoch) > 0) parts.block.cut({ epoch: Math.max(epoch, held.epoch), asOf: asOf ?? held.asOf, durable: durable2 });
  }
})();
