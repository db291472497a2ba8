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
