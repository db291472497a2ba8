//! The blueprint as a configuration of Terraform, in its JSON syntax (`irp.tf.json`).

use serde_json::{Map, Value, json};

use super::{Blueprint, PORT, PROGRAM_DAYS, Tags};
use crate::tags;

/// The configuration, for the provider `hashicorp/aws` from version 4 on; region and credentials are the provider's.
#[must_use]
pub fn terraform(blueprint: &Blueprint) -> Value {
    let symbol = blueprint.symbol();
    let mut resources = Map::new();
    let mut add = |kind: &str, properties: Value| {
        resources.insert(kind.to_owned(), json!({ &symbol: properties }));
    };
    if let Some(role) = &blueprint.role {
        let mut properties = json!({
            "name": role.name,
            "description": blueprint.description(),
            "assume_role_policy": literal(&role.trust.json().to_string()),
            "tags": map(&blueprint.tags),
        });
        if let Some(boundary) = &role.boundary {
            properties["permissions_boundary"] = json!(literal(boundary));
        }
        add("aws_iam_role", properties);
        add(
            "aws_iam_role_policy",
            json!({
                "name": Blueprint::policy_name(),
                "role": format!("${{aws_iam_role.{symbol}.name}}"),
                "policy": literal(&role.policy.json().to_string()),
            }),
        );
        add(
            "aws_iam_instance_profile",
            json!({ "name": role.name, "role": format!("${{aws_iam_role.{symbol}.name}}") }),
        );
    }
    add("aws_security_group", group(blueprint));
    add("aws_launch_template", template(blueprint, &symbol));
    add("aws_s3_bucket", json!({ "bucket": blueprint.bucket.name }));
    for (kind, properties) in bucket_settings(blueprint, &symbol) {
        add(kind, properties);
    }
    if let Some(values) = &blueprint.caa {
        let properties = json!({
            "zone_id": blueprint.zone_id,
            "name": blueprint.name,
            "type": "CAA",
            "ttl": super::CAA_TTL,
            "records": values.iter().map(|value| literal(value)).collect::<Vec<_>>(),
        });
        add("aws_route53_record", properties);
    }
    json!({
        "terraform": { "required_providers": { "aws": { "source": "hashicorp/aws", "version": ">= 4.0" } } },
        "resource": resources,
    })
}

/// A text in which Terraform finds nothing to work out.
fn literal(text: &str) -> String {
    text.replace("${", "$${").replace("%{", "%%{")
}

fn map(tags: &Tags) -> Value {
    tags.iter().map(|(key, value)| (key.clone(), json!(literal(value)))).collect::<Map<_, _>>().into()
}

fn group(blueprint: &Blueprint) -> Value {
    // In JSON a block of attributes has to say each of them.
    let rule = |ports: [u16; 2], protocol: &str, description: &str| {
        json!({
            "from_port": ports[0],
            "to_port": ports[1],
            "protocol": protocol,
            "cidr_blocks": ["0.0.0.0/0"],
            "ipv6_cidr_blocks": ["::/0"],
            "description": description,
            "prefix_list_ids": [],
            "security_groups": [],
            "self": false,
        })
    };
    json!({
        "name": tags::GROUP_NAME,
        "description": "irp: HTTPS from everywhere",
        "vpc_id": blueprint.group.vpc_id,
        "ingress": [rule([PORT, PORT], "tcp", "HTTPS")],
        // Terraform takes away the rule by which everything may go out.
        "egress": [rule([0, 0], "-1", "everything")],
        "tags": map(&blueprint.group.tags),
    })
}

fn template(blueprint: &Blueprint, symbol: &str) -> Value {
    let template = &blueprint.template;
    let mut interface = json!({
        "device_index": 0,
        "associate_public_ip_address": true,
        "delete_on_termination": true,
        "security_groups": [format!("${{aws_security_group.{symbol}.id}}")],
    });
    if let Some(subnet) = &template.subnet_id {
        interface["subnet_id"] = json!(subnet);
    }
    let mut volume = json!({ "volume_type": "gp3", "encrypted": true, "delete_on_termination": true });
    if let Some(key) = &template.kms_key {
        volume["kms_key_id"] = json!(literal(key));
    }
    let tagged = ["instance", "volume", "network-interface"]
        .map(|kind| json!({ "resource_type": kind, "tags": map(&template.machine_tags) }));
    let mut properties = json!({
        "name": template.name,
        "image_id": template.image,
        "instance_type": template.instance_type,
        "instance_initiated_shutdown_behavior": "terminate",
        "update_default_version": true,
        "metadata_options": {
            "http_tokens": "required",
            "http_put_response_hop_limit": 1,
            "http_endpoint": "enabled",
            "instance_metadata_tags": "enabled",
        },
        "block_device_mappings": [{ "device_name": template.root_device, "ebs": volume }],
        "network_interfaces": [interface],
        "tag_specifications": tagged,
        "tags": map(&blueprint.tags),
    });
    if template.is_burstable {
        properties["credit_specification"] = json!({ "cpu_credits": "standard" });
    }
    if blueprint.role.is_some() {
        properties["iam_instance_profile"] =
            json!({ "name": format!("${{aws_iam_instance_profile.{symbol}.name}}") });
    }
    properties
}

fn bucket_settings(blueprint: &Blueprint, symbol: &str) -> [(&'static str, Value); 3] {
    let bucket = format!("${{aws_s3_bucket.{symbol}.id}}");
    let encryption = match &blueprint.bucket.kms_key {
        Some(key) => json!({ "sse_algorithm": "aws:kms", "kms_master_key_id": literal(key) }),
        None => json!({ "sse_algorithm": "AES256" }),
    };
    [
        (
            "aws_s3_bucket_public_access_block",
            json!({
                "bucket": bucket,
                "block_public_acls": true,
                "ignore_public_acls": true,
                "block_public_policy": true,
                "restrict_public_buckets": true,
            }),
        ),
        (
            "aws_s3_bucket_server_side_encryption_configuration",
            json!({ "bucket": bucket, "rule": { "apply_server_side_encryption_by_default": encryption } }),
        ),
        (
            "aws_s3_bucket_lifecycle_configuration",
            json!({
                "bucket": bucket,
                "rule": {
                    "id": "irp",
                    "status": "Enabled",
                    "filter": { "prefix": tags::PROGRAMS },
                    "expiration": { "days": PROGRAM_DAYS },
                },
            }),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::tests::blueprint;

    /// What the documentation of the provider calls the arguments of a resource or of a block in it ("Argument
    /// Reference", as far as irp could want them); those that it requires begin with `!`.
    const ARGUMENTS: &[(&str, &[&str])] = &[
        (
            "aws_iam_role",
            &["name", "description", "!assume_role_policy", "permissions_boundary", "tags", "path"],
        ),
        ("aws_iam_role_policy", &["name", "!role", "!policy"]),
        ("aws_iam_instance_profile", &["name", "role", "path", "tags"]),
        ("aws_security_group", &["name", "description", "vpc_id", "ingress", "egress", "tags"]),
        ("aws_security_group.ingress", RULE),
        ("aws_security_group.egress", RULE),
        (
            "aws_launch_template",
            &[
                "name",
                "description",
                "image_id",
                "instance_type",
                "instance_initiated_shutdown_behavior",
                "update_default_version",
                "metadata_options",
                "block_device_mappings",
                "network_interfaces",
                "tag_specifications",
                "credit_specification",
                "iam_instance_profile",
                "tags",
            ],
        ),
        (
            "aws_launch_template.metadata_options",
            &[
                "http_endpoint",
                "http_tokens",
                "http_put_response_hop_limit",
                "http_protocol_ipv6",
                "instance_metadata_tags",
            ],
        ),
        ("aws_launch_template.block_device_mappings", &["!device_name", "ebs", "no_device", "virtual_name"]),
        (
            "aws_launch_template.block_device_mappings.ebs",
            &["delete_on_termination", "encrypted", "iops", "kms_key_id", "volume_size", "volume_type"],
        ),
        (
            "aws_launch_template.network_interfaces",
            &[
                "associate_public_ip_address",
                "delete_on_termination",
                "description",
                "device_index",
                "ipv6_address_count",
                "security_groups",
                "subnet_id",
            ],
        ),
        ("aws_launch_template.tag_specifications", &["resource_type", "tags"]),
        ("aws_launch_template.credit_specification", &["cpu_credits"]),
        ("aws_launch_template.iam_instance_profile", &["arn", "name"]),
        ("aws_s3_bucket", &["bucket", "force_destroy", "tags"]),
        (
            "aws_s3_bucket_public_access_block",
            &[
                "!bucket",
                "block_public_acls",
                "block_public_policy",
                "ignore_public_acls",
                "restrict_public_buckets",
            ],
        ),
        ("aws_s3_bucket_server_side_encryption_configuration", &["!bucket", "!rule"]),
        (
            "aws_s3_bucket_server_side_encryption_configuration.rule",
            &["apply_server_side_encryption_by_default", "bucket_key_enabled"],
        ),
        (
            "aws_s3_bucket_server_side_encryption_configuration.rule.apply_server_side_encryption_by_default",
            &["!sse_algorithm", "kms_master_key_id"],
        ),
        ("aws_s3_bucket_lifecycle_configuration", &["!bucket", "!rule"]),
        ("aws_s3_bucket_lifecycle_configuration.rule", &["!id", "!status", "filter", "expiration"]),
        ("aws_s3_bucket_lifecycle_configuration.rule.filter", &["prefix", "tag", "and"]),
        ("aws_s3_bucket_lifecycle_configuration.rule.expiration", &["date", "days"]),
        ("aws_route53_record", &["!zone_id", "!name", "!type", "ttl", "records"]),
    ];

    /// A rule of a security group, of which each attribute has to be said where it stands as an attribute.
    const RULE: &[&str] = &[
        "!from_port",
        "!to_port",
        "!protocol",
        "!cidr_blocks",
        "!ipv6_cidr_blocks",
        "!description",
        "!prefix_list_ids",
        "!security_groups",
        "!self",
    ];

    fn check(path: &str, value: &Value) {
        if let Value::Array(blocks) = value {
            return blocks.iter().for_each(|block| check(path, block));
        }
        let (Some(block), Some((_, known))) =
            (value.as_object(), ARGUMENTS.iter().find(|(name, _)| *name == path))
        else {
            // A block that the documentation does not know; maps of tags and lists of texts are none.
            let is_block = value.is_object() && !path.ends_with(".tags");
            return assert!(!is_block, "{path} is no block of the provider");
        };
        for (argument, value) in block {
            let is_known = known.iter().any(|name| name.trim_start_matches('!') == argument);
            assert!(is_known, "{path} has no argument {argument}");
            check(&format!("{path}.{argument}"), value);
        }
        for required in known.iter().filter_map(|name| name.strip_prefix('!')) {
            assert!(block.contains_key(required), "{path} requires {required}");
        }
    }

    #[test]
    fn every_argument_is_one_that_the_provider_documents() {
        let mut keyed = blueprint();
        keyed.template.kms_key = Some("alias/irp".into());
        keyed.template.subnet_id = Some("subnet-1".into());
        keyed.bucket.kms_key = Some("alias/irp".into());
        for blueprint in [blueprint(), keyed, Blueprint { role: None, caa: None, ..blueprint() }] {
            let document = terraform(&blueprint);
            let resources = document["resource"].as_object().unwrap();
            for (kind, named) in resources {
                named.as_object().unwrap().values().for_each(|resource| check(kind, resource));
            }
            // What is referred to is there.
            let text = document.to_string();
            let references = text.split("${").skip(1).map(|rest| rest.split('}').next().unwrap());
            for reference in references.filter(|reference| reference.starts_with("aws_")) {
                let mut parts = reference.split('.');
                let (kind, name) = (parts.next().unwrap(), parts.next().unwrap());
                assert!(resources[kind].get(name).is_some(), "{reference}");
            }
        }
    }
}
