//! Foreign formats with commas: most are our own reader with other names of columns.

use crate::csv_rows::{Column, Role, Unit};
use crate::detect::Format;

/// What the columns of a format mean; empty if it isn't one of these.
pub(crate) fn columns(format: Format) -> Vec<Column> {
    let ignore = |name: &&str| Column::new(name, Role::Ignore, Unit::Text);
    match format {
        Format::AzureFunctions2021 => vec![
            Column::new("app", Role::Tenant, Unit::Text),
            Column::new("func", Role::Command, Unit::Text),
            Column::new("end_timestamp", Role::End, Unit::Seconds),
            Column::new("duration", Role::Service, Unit::Seconds),
        ],
        Format::AzureLlm => {
            let mut columns = vec![Column::new("TIMESTAMP", Role::Arrival, Unit::Timestamp)];
            columns.extend(["ContextTokens", "GeneratedTokens"].iter().map(ignore));
            columns
        }
        Format::AlibabaGenAi => {
            let mut columns = vec![
                Column::new("gmt_create", Role::Arrival, Unit::Timestamp),
                Column::new("predict_type", Role::Command, Unit::Text),
                Column::new("predict_status", Role::Succeeded("SUCCEED"), Unit::Text),
                Column::new("exec_time_seconds", Role::Service, Unit::Seconds),
                Column::new("groupId", Role::Tenant, Unit::Text),
            ];
            let others = [
                "prompt_length",
                "negative_prompt_length",
                "num_images_per_prompt",
                "num_inference_steps",
                "checkpoint_model_version_id",
                "num_lora",
            ];
            columns.extend(others.iter().map(ignore));
            columns
        }
        Format::Csv
        | Format::Packed
        | Format::AzureFunctions2019
        | Format::Swf
        | Format::AccessLog
        | Format::Swim => Vec::new(),
    }
}
