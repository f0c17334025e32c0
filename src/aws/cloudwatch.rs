//! CloudWatch: figures under one namespace and one set of dimensions.

use std::time::Duration;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use aws_smithy_types::DateTime;
use aws_smithy_types::timeout::TimeoutConfig;

use super::{Aws, AwsError, Call};

/// The variable that sets the region.
const SETTING: &str = "AWS_DEFAULT_REGION";
/// Longest time of one request with all tries.
const PUT_TIMEOUT: Duration = Duration::from_secs(30);
/// CloudWatch's limit for the value of a dimension.
const DIMENSION_CHARS_MAX: usize = 1024;

/// One value of one metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// Name of the metric.
    pub name: &'static str,
    /// Unit of the value.
    pub unit: FigureUnit,
    /// The value.
    pub value: u64,
    /// Seconds since 1970, UTC; at most two weeks back or two hours ahead.
    pub at_secs: i64,
}

/// Unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FigureUnit {
    /// A number of things.
    Count,
    /// A number of bytes.
    Bytes,
}

/// The service in one region.
#[derive(Debug, Clone)]
pub struct CloudWatch {
    client: Client,
    namespace: &'static str,
}

impl CloudWatch {
    /// `namespace`: of all metrics.
    pub fn new(aws: &Aws, region: &str, namespace: &'static str) -> Self {
        let timeouts = TimeoutConfig::builder().operation_timeout(PUT_TIMEOUT).build();
        let config = aws_sdk_cloudwatch::config::Builder::from(&aws.in_region(region)).timeout_config(timeouts);
        Self { client: Client::from_conf(config.build()), namespace }
    }

    /// Puts all `figures`, or none; at most 1,000, each with all `dimensions` (name, value); `cloudwatch:PutMetricData`.
    pub async fn put(&self, dimensions: &[(&'static str, &str)], figures: &[Figure]) -> Result<(), AwsError> {
        let dimensions: Vec<Dimension> = dimensions
            .iter()
            .map(|(name, value)| Dimension::builder().name(*name).value(dimension_value(value)).build())
            .collect();
        let data = figures.iter().map(|figure| datum(*figure, &dimensions)).collect();
        let call = || Call::new("cloudwatch:PutMetricData", self.namespace);
        let request = self.client.put_metric_data().namespace(self.namespace).set_metric_data(Some(data));
        request.send().await.map(drop).map_err(|error| AwsError::of(call(), SETTING, &error))
    }
}

fn datum(figure: Figure, dimensions: &[Dimension]) -> MetricDatum {
    let unit = match figure.unit {
        FigureUnit::Count => StandardUnit::Count,
        FigureUnit::Bytes => StandardUnit::Bytes,
    };
    // exact up to 2^53: eight million gigabytes in a minute
    let value = figure.value as f64;
    MetricDatum::builder()
        .metric_name(figure.name)
        .unit(unit)
        .value(value)
        .timestamp(DateTime::from_secs(figure.at_secs))
        .set_dimensions(Some(dimensions.to_vec()))
        .build()
}

/// A value that CloudWatch accepts: ASCII, not empty, no colon first. One bad value would have all figures refused for ever.
fn dimension_value(text: &str) -> String {
    let value: String = text
        .trim_start_matches(':')
        .chars()
        .map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' })
        .take(DIMENSION_CHARS_MAX)
        .collect();
    if value.trim().is_empty() { "unknown".to_owned() } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dimension_is_always_a_value_that_cloudwatch_takes() {
        assert_eq!(dimension_value("compliance_1_bot"), "compliance_1_bot");
        assert_eq!(dimension_value("::bot-ü\n"), "bot-??");
        assert_eq!(dimension_value(""), "unknown");
        assert_eq!(dimension_value(&"x".repeat(2000)).len(), DIMENSION_CHARS_MAX);
    }
}
