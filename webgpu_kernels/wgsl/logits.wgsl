// A logit made finite: NaN and anything too low to matter become the lowest, so that later steps need no special cases.
fn finite(logit: f32) -> f32 {
  let is_nan = (bitcast<u32>(logit) & 0x7fffffffu) > 0x7f800000u;
  return select(clamp(logit, {{ LOWEST | f32 }}, {{ -LOWEST | f32 }}), {{ LOWEST | f32 }}, is_nan);
}
