// sample_adjust: scratch0[s, v] = (logits[s, v] + bias - penalties) / temperature, finite; rows are padded to whole
// blocks with what no logit is as low as, and tokens that a row of masks forbids get the same. scratch1[s, b] = of block b of {{ BLOCK }} tokens the likeliest (logit, id) and
// the sum of exp(logit - that logit). Greedy (temperature 0) divides by nothing and needs the likeliest only: nothing
// else is written. Grid: x = {{ TEAMS }} blocks, y = row s. {{ LANES }} invocations share a block.
{% include "bindings.wgsl" %}

{% include "logits.wgsl" %}

{% include "better.wgsl" %}

{% include "mask_row.wgsl" %}

// Of each invocation's tokens what scratch1 gets of a block.
var<workgroup> parts: array<vec4<f32>, {{ THREADS }}>;

@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let seq = group.y;
  let slot = u32(slots[seq]) * {{ VOCAB }}u;
  let settings = seq * {{ SETTINGS }}u;
  let temperature = bitcast<f32>(sampling[settings]);
  let frequency_penalty = bitcast<f32>(sampling[settings + 3u]);
  let presence_penalty = bitcast<f32>(sampling[settings + 4u]);
  let repetition_penalty = bitcast<f32>(sampling[settings + 11u]);
  let flags = sampling[settings + 9u];
  let by = mask_row(seq);
  let mask = by * {{ MASK_ROW }}u + {{ MASK_HEAD }}u;
  let begin = (group.x * {{ TEAMS }}u + tid / {{ LANES }}u) * {{ BLOCK }}u + tid % {{ LANES }}u;
  let end = min(begin - tid % {{ LANES }}u + {{ BLOCK }}u, {{ PADDED }}u);
  var best = vec2<f32>({{ PADDING | f32 }}, {{ (2 ** 25) | f32 }});
  for (var v = begin; v < end; v += {{ LANES }}u) {
    var logit = {{ PADDING | f32 }};
    var allowed = v < {{ VOCAB }}u;
    if (allowed && by > 0u) {
      allowed = ((masks[mask + v / 32u] >> (v % 32u)) & 1u) != 0u;
    }
    if (allowed) {
      logit = logits[seq * {{ VOCAB }}u + v];
      var count = 0u;
      if ((flags & 2u) != 0u) {
        count = token_counts[slot + v];
      }
      if (count > 0u) {
        logit *= select(repetition_penalty, 1.0f / repetition_penalty, logit > 0.0f);
      }
      if ((flags & 1u) != 0u) {
        logit += logit_bias[slot + v];
      }
      if (count > 0u) {
        logit -= f32(count) * frequency_penalty + presence_penalty;
      }
      logit = finite(logit);
      if (temperature > 0.0f) {
        logit = finite(logit / temperature);
      }
      // Zeros of either sign are the same, and what an adapter may take for zero is zero.
      logit = select(logit, 0.0f, abs(logit) < {{ (2 ** -126) | f32 }});
    }
    let here = vec2<f32>(logit, f32(v));
    best = select(best, here, likelier(here, best));
    if (temperature > 0.0f) {
      scratch0[seq * {{ PADDED }}u + v] = logit;
    }
  }
  var mass = 0.0f;
  if (temperature > 0.0f) {
    for (var v = begin; v < end; v += {{ LANES }}u) {
      mass += exp(scratch0[seq * {{ PADDED }}u + v] - best.x);
    }
  }
  parts[tid] = vec4<f32>(best, mass, 0.0f);
  workgroupBarrier();
  let block = group.x * {{ TEAMS }}u + tid;
  if (tid < {{ TEAMS }}u && block < {{ BLOCKS }}u) {
    var sum = parts[tid * {{ LANES }}u];
    for (var i = 1u; i < {{ LANES }}u; i++) {
      let other = parts[tid * {{ LANES }}u + i];
      let best = select(sum.xy, other.xy, likelier(other.xy, sum.xy));
      sum = vec4<f32>(best, sum.z * exp(sum.x - best.x) + other.z * exp(other.x - best.x), 0.0f);
    }
    scratch1[seq * {{ BLOCKS }}u + block] = sum;
  }
}
