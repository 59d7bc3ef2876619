// sample_adjust: scratch0[s, v] = (logits[s, v] + bias - penalties) / temperature, finite; scratch1[s, b] = the
// likeliest (logit, id) of block b of {{ BLOCK }} tokens. Grid: x = block b, y = sequence s. Temperature 0 (greedy) divides by nothing.
{% from "reduce.wgsl" import reductions %}
{% include "bindings.wgsl" %}

{% include "logits.wgsl" %}

{% include "better.wgsl" %}

{{ reductions("vec2<f32>", THREADS, [("best_of", "better(a, b)")]) }}
@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let seq = group.y;
  let slot = u32(slots[seq]) * {{ VOCAB }}u;
  let settings = seq * {{ SETTINGS }}u;
  let temperature = bitcast<f32>(sampling[settings]);
  let frequency_penalty = bitcast<f32>(sampling[settings + 3u]);
  let presence_penalty = bitcast<f32>(sampling[settings + 4u]);
  let flags = sampling[settings + 9u];
  let end = min((group.x + 1u) * {{ BLOCK }}u, {{ VOCAB }}u);
  // Below any logit.
  var best = vec2<f32>({{ (2 * LOWEST) | f32 }}, 0.0f);
  for (var v = group.x * {{ BLOCK }}u + tid; v < end; v += {{ THREADS }}u) {
    var logit = logits[seq * {{ VOCAB }}u + v];
    if ((flags & 1u) != 0u) {
      logit += logit_bias[slot + v];
    }
    if ((flags & 2u) != 0u) {
      let count = token_counts[slot + v];
      if (count > 0u) {
        logit -= f32(count) * frequency_penalty + presence_penalty;
      }
    }
    logit = finite(logit);
    if (temperature > 0.0f) {
      logit = finite(logit / temperature);
    }
    scratch0[seq * {{ VOCAB }}u + v] = logit;
    best = better(best, vec2<f32>(logit, f32(v)));
  }
  best = best_of(tid, best);
  if (tid == 0u) {
    scratch1[seq * {{ BLOCKS }}u + group.x] = best;
  }
}
