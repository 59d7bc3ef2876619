fn silu(v: f32) -> f32 {
  return v / (1.0f + exp(min(-v, 80.0f)));
}
