//! What to do where RDS will not make or delete the instance of a drill. Codes: Amazon RDS API
//! Reference, CreateDBInstance and DeleteDBInstance, "Errors".

use crate::error::Error;

/// The next move for an error of that code; where it is none that a person can make here, as it was.
pub fn advised(error: Error, code: Option<&str>) -> Error {
    let hint = match code.unwrap_or_default() {
        "InstanceQuotaExceeded"
        | "InstanceQuotaExceededFault"
        | "StorageQuotaExceeded"
        | "StorageQuotaExceededFault" => {
            "the account has as much of it as its quota allows: delete what is not needed, or have \
             the quota raised (Service Quotas, Amazon RDS)"
        }
        "InsufficientDBInstanceCapacity" | "InsufficientDBInstanceCapacityFault" => {
            "AWS has no such machine free now: set another `class` in [drill.rds.NAME], or wait"
        }
        "DBSubnetGroupNotFoundFault"
        | "DBSubnetGroupDoesNotCoverEnoughAZs"
        | "InvalidVPCNetworkStateFault"
        | "InvalidSubnet" => "set `subnet_group` in [drill.rds.NAME] to one of the region's",
        "DBSecurityGroupNotFound" | "InvalidVPCSecurityGroup" => {
            "set `security_groups` in [drill.rds.NAME] to ones of the subnet group's network"
        }
        "DBParameterGroupNotFound" => {
            "set `parameter_group` in [drill.rds.NAME] to one of the version's family"
        }
        "KMSKeyNotAccessibleFault" => {
            "these credentials may not use the key: allow kms:CreateGrant and kms:DescribeKey, or \
             set another `kms_key` in [drill.rds.NAME]"
        }
        "InvalidParameterCombination" | "InvalidParameterValue" => {
            "correct [drill.rds.NAME]: RDS says above what it does not take"
        }
        _ => return error,
    };
    error.hint(hint)
}
