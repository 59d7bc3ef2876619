// sample_pick: draws the next token of a sequence from its adjusted logits (scratch0, with block maxima in scratch1).
// Grid: x = sequence s. No sort: top-k and top-p are thresholds on the logit, found by bisection over the floats in
// their order as integers, hence exact; ties at a threshold are kept. The draw inverts the distribution in token order.
// Writes sampled[s, 0], token_ids[s] and, when asked for, the token's count in its slot.
{% from "reduce.wgsl" import reductions %}
{% include "bindings.wgsl" %}

{% include "philox.wgsl" %}

{{ reductions("f32", THREADS, [("highest_of", "max(a, b)")]) }}
{{ reductions("u32", THREADS, [("lowest_of", "min(a, b)")]) }}
{{ reductions("vec4<f32>", THREADS, [("sums_of", "a + b")]) }}
var<workgroup> masses: array<f32, {{ THREADS }}>;
var<workgroup> picked: u32;

// Unsigned integers in the order of the floats they come from.
fn ordered(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

// The highest threshold u ≤ `top` at which the tokens with ordered(logit) ≥ max(u, lowest) weigh at least `goal`, where a
// token weighs exp(logit - highest), or 1 if `counting`. Each pass tries 4 thresholds, so 14 passes settle 32 bits.
fn threshold(tid: u32, row: u32, highest: f32, lowest: u32, top: u32, goal: f32, counting: bool) -> u32 {
  var low = lowest;
  var width = top - lowest + 1u;
  for (var pass_index = 0u; pass_index < 14u; pass_index++) {
    let step = width / 5u + select(0u, 1u, width % 5u != 0u);
    // Beyond the range nothing weighs anything.
    let offsets = min(vec4<u32>(1u, 2u, 3u, 4u) * step, vec4<u32>(width));
    let tried = vec4<u32>(low) + offsets;
    var weights = vec4<f32>();
    for (var v = tid; v < {{ VOCAB }}u; v += {{ THREADS }}u) {
      let logit = scratch0[row + v];
      let weight = select(exp(logit - highest), 1.0f, counting);
      weights += select(vec4<f32>(), vec4<f32>(weight), vec4<u32>(ordered(logit)) >= tried);
    }
    let enough = sums_of(tid, weights) >= vec4<f32>(goal);
    var passed = 0u;
    for (var i = 0u; i < 4u; i++) {
      passed = select(passed, offsets[i], enough[i] && offsets[i] < width);
    }
    low += passed;
    width = min(step, width - passed);
  }
  return low;
}

@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let seq = group.x;
  let row = seq * {{ VOCAB }}u;
  let settings = seq * {{ SETTINGS }}u;
  let temperature = bitcast<f32>(sampling[settings]);
  let top_p = bitcast<f32>(sampling[settings + 1u]);
  let min_p = bitcast<f32>(sampling[settings + 2u]);
  let top_k = sampling[settings + 5u];

  var block_highest = {{ LOWEST | f32 }};
  for (var b = tid; b < {{ BLOCKS }}u; b += {{ THREADS }}u) {
    block_highest = max(block_highest, scratch1[seq * {{ BLOCKS }}u + b]);
  }
  let highest = highest_of(tid, block_highest);

  // The lowest token among the likeliest: the greedy choice.
  var first = {{ VOCAB - 1 }}u;
  for (var b = tid; b < {{ BLOCKS }}u; b += {{ THREADS }}u) {
    if (scratch1[seq * {{ BLOCKS }}u + b] == highest) {
      let end = min((b + 1u) * {{ BLOCK }}u, {{ VOCAB }}u);
      for (var v = b * {{ BLOCK }}u; v < end; v++) {
        if (scratch0[row + v] == highest) {
          first = min(first, v);
          break;
        }
      }
    }
  }
  first = lowest_of(tid, first);
  if (tid == 0u) {
    picked = first;
  }
  workgroupBarrier();

  if (temperature > 0.0f) {
    let top = ordered(highest);
    var lowest = 0u;
    if (top_k > 0u && top_k < {{ VOCAB }}u) {
      lowest = threshold(tid, row, highest, 0u, top, f32(top_k), true);
    }
    if (top_p < 1.0f) {
      var mass = vec4<f32>();
      for (var v = tid; v < {{ VOCAB }}u; v += {{ THREADS }}u) {
        let logit = scratch0[row + v];
        mass.x += select(0.0f, exp(logit - highest), ordered(logit) >= lowest);
      }
      let goal = max(top_p, 0.0f) * sums_of(tid, mass).x;
      lowest = threshold(tid, row, highest, lowest, top, goal, false);
    }

    // Each invocation weighs a run of tokens, then finds its place in the running sum.
    let begin = tid * {{ RUN }}u;
    let end = min(begin + {{ RUN }}u, {{ VOCAB }}u);
    var mass = 0.0f;
    for (var v = begin; v < end; v++) {
      mass += kept_weight(scratch0[row + v], highest, lowest, min_p);
    }
    masses[tid] = mass;
    workgroupBarrier();
    var before = 0.0f;
    var total = 0.0f;
    for (var i = 0u; i < {{ THREADS }}u; i++) {
      before = select(before, total, i == tid);
      total += masses[i];
    }
    let word = philox(
      vec4<u32>(sampling[settings + 8u], 0u, 0u, 0u),
      vec2<u32>(sampling[settings + 6u], sampling[settings + 7u]),
    );
    // 24 bits are exact in an f32, and keep `goal` below `total`.
    let goal = f32(word >> 8u) * {{ (2 ** -24) | f32 }} * total;
    if (mass > 0.0f && before <= goal && goal < before + mass) {
      var sum = before;
      for (var v = begin; v < end; v++) {
        let weight = kept_weight(scratch0[row + v], highest, lowest, min_p);
        if (weight > 0.0f && sum <= goal) {
          picked = v;
        }
        sum += weight;
      }
    }
    workgroupBarrier();
  }

  if (tid == 0u) {
    sampled[seq * {{ RESULT }}u] = picked;
    token_ids[seq] = i32(picked);
    if ((sampling[settings + 9u] & 2u) != 0u) {
      token_counts[u32(slots[seq]) * {{ VOCAB }}u + picked] += 1u;
    }
  }
}

// Weight of a token that survives the threshold and min-p (relative to the likeliest, whose weight is 1).
fn kept_weight(logit: f32, highest: f32, lowest: u32, min_p: f32) -> f32 {
  let weight = exp(logit - highest);
  return select(0.0f, weight, ordered(logit) >= lowest && weight >= min(min_p, 1.0f));
}
