//! Medians, and the table.

/// Prints a row of figures under names of fixed width.
pub(crate) fn row(name: &str, cells: &[String]) {
    let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:>16}")).collect();
    println!("{name:<34}{}", cells.concat());
}

/// The middle of some figures.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

/// Rounded for the last line.
pub(crate) fn round(figure: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (figure * scale).round() / scale
}

/// Median, least and most as cells.
pub(crate) fn spread(figures: &[f64], unit: &str) -> Vec<String> {
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    [median(figures), least, most].iter().map(|figure| format!("{figure:.1} {unit}")).collect()
}

/// The table's head.
pub(crate) fn head(title: &str) {
    println!("{title}");
    row("", &["median".to_owned(), "least".to_owned(), "most".to_owned()]);
}

/// A quantile of sorted figures.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(f64::NAN)
}
