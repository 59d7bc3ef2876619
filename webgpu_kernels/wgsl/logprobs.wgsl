// logprobs: log-softmax of a row of raw logits. Grid: x = row s.
// Writes sampled[s, 1] = log-probability (f32 bits) of the token in sampled[s, 0], and for as many of the likeliest
// tokens as the settings ask (at most {{ TOP_MAX }}) their ids from sampled[s, {{ TOP_IDS }}] and their log-probabilities from
// sampled[s, {{ TOP_LOGPROBS }}]; equal ones in order of id. Each invocation remembers the likeliest of its own tokens.
{% from "reduce.wgsl" import reductions %}
{% include "bindings.wgsl" %}

{% include "logits.wgsl" %}

{% include "better.wgsl" %}

{{ reductions("f32", THREADS, [("sum_of", "a + b")]) }}
{{ reductions("vec2<f32>", THREADS, [("best_of", "select(a, b, likelier(b, a))")]) }}
// The likeliest of this invocation's tokens that come after `last`: less likely, or as likely with a higher id.
fn best_after(tid: u32, row: u32, last: vec2<f32>) -> vec2<f32> {
  var best = vec2<f32>({{ (2 * LOWEST) | f32 }}, {{ (2 ** 25) | f32 }});
  for (var v = tid; v < {{ VOCAB }}u; v += {{ THREADS }}u) {
    let here = vec2<f32>(finite(logits[row + v]), f32(v));
    if (here.x < last.x || (here.x == last.x && here.y > last.y)) {
      best = select(best, here, likelier(here, best));
    }
  }
  return best;
}

@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let row = group.x * {{ VOCAB }}u;
  let result = group.x * {{ RESULT }}u;
  let wanted = min(sampling[group.x * {{ SETTINGS }}u + 10u], {{ [TOP_MAX, VOCAB] | min }}u);
  // Before any token.
  var likeliest = vec2<f32>({{ (-2 * LOWEST) | f32 }}, -1.0f);
  var best = likeliest;
  var log_total = 0.0f;
  for (var i = 0u; i < max(wanted, 1u); i++) {
    if (best.y == likeliest.y) {
      best = best_after(tid, row, likeliest);
    }
    likeliest = best_of(tid, best);
    if (i == 0u) {
      var mass = 0.0f;
      for (var v = tid; v < {{ VOCAB }}u; v += {{ THREADS }}u) {
        mass += exp(finite(logits[row + v]) - likeliest.x);
      }
      log_total = likeliest.x + log(sum_of(tid, mass));
    }
    if (tid == 0u && i < wanted) {
      sampled[result + {{ TOP_IDS }}u + i] = u32(likeliest.y);
      sampled[result + {{ TOP_LOGPROBS }}u + i] = bitcast<u32>(likeliest.x - log_total);
    }
  }
  if (tid == 0u) {
    let chosen = min(sampled[result], {{ VOCAB - 1 }}u);
    sampled[result + 1u] = bitcast<u32>(finite(logits[row + chosen]) - log_total);
  }
}
