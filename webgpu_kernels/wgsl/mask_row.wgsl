// The row of masks that row `seq` draws by: the one it names, or the one that its slot's last draw led to. Row 0 allows all.
fn mask_row(seq: u32) -> u32 {
  let settings = seq * {{ SETTINGS }}u;
  if ((sampling[settings + 9u] & 4u) == 0u) {
    return 0u;
  }
  let named = sampling[settings + 12u];
  return select(named, masks[u32(slots[seq]) * {{ MASK_ROW }}u], named == {{ FOLLOW }}u);
}
