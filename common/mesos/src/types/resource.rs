//! Resources, attributes and their values.

use super::{Labels, ResourceProviderId, Volume};

enumeration! {
    /// What kind of value a value is.
    ValueType {
        SCALAR Scalar = 0;
        RANGES Ranges = 1;
        SET Set = 2;
        TEXT Text = 3;
    }
}

message! {
    /// A number; resources count in thousandths.
    #[derive(Copy)]
    Scalar {
        required double value = 1;
    }
}

message! {
    /// Whole numbers from the first to the last.
    #[derive(Copy, Eq)]
    Range {
        required uint64 begin = 1;
        required uint64 end = 2;
    }
}

message! {
    /// Several ranges.
    #[derive(Eq)]
    Ranges {
        repeated message Range range = 1;
    }
}

message! {
    /// Several words.
    #[derive(Eq)]
    Set {
        repeated string item = 1;
    }
}

message! {
    /// A word.
    #[derive(Eq)]
    Text {
        required string value = 1;
    }
}

message! {
    /// What an agent's operator says of it.
    Attribute {
        required string name = 1;
        required enumeration ValueType r#type = 2;
        optional message Scalar scalar = 3;
        optional message Ranges ranges = 4;
        optional message Set set = 6;
        optional message Text text = 5;
    }
}

message! {
    /// An amount of something that an agent has.
    Resource {
        optional message ResourceProviderId provider_id = 12;
        required string name = 1;
        required enumeration ValueType r#type = 2;
        optional message Scalar scalar = 3;
        optional message Ranges ranges = 4;
        optional message Set set = 5;
        /// The role that it is reserved for, in the old format; absence means `*`.
        optional string role = 6;
        optional message AllocationInfo allocation_info = 11;
        /// The reservation in the old format.
        optional message ReservationInfo reservation = 8;
        repeated message ReservationInfo reservations = 13;
        optional message DiskInfo disk = 7;
        optional message RevocableInfo revocable = 9;
        optional message SharedInfo shared = 10;
    }
}

message! {
    /// The role of the framework that something is offered to.
    #[derive(Eq)]
    AllocationInfo {
        optional string role = 1;
    }
}

enumeration! {
    /// Who reserved a resource.
    ReservationType {
        UNKNOWN Unknown = 0;
        STATIC Static = 1;
        DYNAMIC Dynamic = 2;
    }
}

message! {
    /// Whom a resource is reserved for.
    #[derive(Eq)]
    ReservationInfo {
        optional enumeration ReservationType r#type = 4;
        optional string role = 3;
        optional string principal = 1;
        optional message Labels labels = 2;
    }
}

message! {
    /// What a disk is used for.
    DiskInfo {
        optional message Persistence persistence = 1;
        optional message Volume volume = 2;
        optional message DiskSource source = 3;
    }
}

message! {
    /// The name of a volume that outlives tasks.
    #[derive(Eq)]
    Persistence {
        required string id = 1;
        optional string principal = 2;
    }
}

enumeration! {
    /// What a disk is.
    DiskSourceType {
        UNKNOWN Unknown = 0;
        PATH Path = 1;
        MOUNT Mount = 2;
        BLOCK Block = 3;
        RAW Raw = 4;
    }
}

message! {
    /// Where a disk is.
    #[derive(Eq)]
    DiskSource {
        required enumeration DiskSourceType r#type = 1;
        optional message DiskRoot path = 2;
        optional message DiskRoot mount = 3;
        optional string vendor = 7;
        optional string id = 4;
        optional message Labels metadata = 5;
        optional string profile = 6;
    }
}

message! {
    /// A folder of a disk.
    #[derive(Eq)]
    DiskRoot {
        optional string root = 1;
    }
}

message! {
    /// Its presence says that a resource may be taken back.
    #[derive(Copy, Eq)]
    RevocableInfo {}
}

message! {
    /// Its presence says that a resource may be used by several.
    #[derive(Copy, Eq)]
    SharedInfo {}
}
