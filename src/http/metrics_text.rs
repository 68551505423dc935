//! The Prometheus text format.

use std::fmt::Write;

/// A page of metrics under way.
#[derive(Default)]
pub(crate) struct MetricsPage(String);

impl MetricsPage {
    /// Begins a metric; its values follow.
    pub(crate) fn start_metric(&mut self, name: &'static str, kind: &str, help: &str) -> MetricWriter<'_> {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        MetricWriter { text: &mut self.0, name }
    }

    /// The page's text.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

/// A metric, whose values are written one after the other.
pub(crate) struct MetricWriter<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl MetricWriter<'_> {
    /// Writes a value under labels.
    pub(crate) fn write_value(&mut self, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(self.name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{}{label}=\"{text}\"", if at == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.text, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    /// Writes a summary without quantiles: the sum of what was observed, and how often.
    pub(crate) fn write_summary(&mut self, sum: f64, count: u64) {
        let _ = writeln!(self.text, "{name}_sum {sum}\n{name}_count {count}", name = self.name);
    }

    /// Writes the only value.
    pub(crate) fn write_single(&mut self, value: f64) {
        self.write_value(&[], value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut page = MetricsPage::default();
        page.start_metric("m", "gauge", "Help.").write_value(&[("a", "x\"y\\z\n"), ("b", "é")], 1.5);
        assert_eq!(page.0, "# HELP m Help.\n# TYPE m gauge\nm{a=\"x\\\"y\\\\z\\n\",b=\"é\"} 1.5\n");
    }
}
