//! Writes metrics in the Prometheus text format 0.0.4.

use std::fmt::Write;

use pinflow_core::duration_histogram::{HISTOGRAM_BOUNDS, HistogramCounts};

/// The text of a `/metrics` reply.
#[derive(Default)]
pub struct MetricsPage(String);

impl MetricsPage {
    /// Writes the `HELP` and `TYPE` lines of a metric. Write its values next.
    pub fn start_metric(&mut self, name: &'static str, kind: &str, help: &str) -> MetricWriter<'_> {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        MetricWriter { text: &mut self.0, name }
    }

    /// The whole page, in the text format of Prometheus.
    pub fn into_text(self) -> String {
        self.0
    }
}

/// Writes the values of one metric.
pub struct MetricWriter<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl MetricWriter<'_> {
    /// Writes a value with labels.
    pub fn write_value(&mut self, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(self.name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{}{label}=\"{text}\"", if at == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.text, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    /// Writes a summary without quantiles: sum and count of the observations.
    pub fn write_summary(&mut self, sum: f64, count: u64) {
        let _ = writeln!(self.text, "{name}_sum {sum}\n{name}_count {count}", name = self.name);
    }

    /// Writes a histogram: the buckets, sum and count.
    pub fn write_histogram(&mut self, counts: &HistogramCounts) {
        let HistogramCounts { at_most, count, sum } = counts;
        let name = self.name;
        for (bound, below) in HISTOGRAM_BOUNDS.iter().zip(at_most) {
            let _ = writeln!(self.text, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(self.text, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}");
    }

    /// Writes a value without labels.
    pub fn write_single(&mut self, value: f64) {
        self.write_value(&[], value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histogram_has_cumulative_buckets_and_ends_with_all() {
        let histogram = pinflow_core::duration_histogram::DurationHistogram::default();
        histogram.observe(std::time::Duration::from_millis(20));
        histogram.observe(std::time::Duration::from_secs(100));
        let mut page = MetricsPage::default();
        page.start_metric("m", "histogram", "Help.").write_histogram(&histogram.counts());
        for line in
            ["m_bucket{le=\"0.01\"} 0", "m_bucket{le=\"0.025\"} 1", "m_bucket{le=\"60\"} 1", "m_bucket{le=\"+Inf\"} 2"]
        {
            assert!(page.0.lines().any(|one| one == line), "{line}: {}", page.0);
        }
        assert!(page.0.ends_with("m_sum 100.02\nm_count 2\n"), "{}", page.0);
    }

    #[test]
    fn label_values_are_escaped() {
        let mut page = MetricsPage::default();
        page.start_metric("m", "gauge", "Help.").write_value(&[("a", "x\"y\\z\n"), ("b", "é")], 1.5);
        assert_eq!(page.0, "# HELP m Help.\n# TYPE m gauge\nm{a=\"x\\\"y\\\\z\\n\",b=\"é\"} 1.5\n");
    }
}
