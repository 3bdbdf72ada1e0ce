//! Which agents' offers a framework wants.

message! {
    /// Constraints for each role.
    OfferConstraints {
        map RoleConstraints role_constraints = 1;
    }
}

message! {
    /// One of the groups must hold.
    RoleConstraints {
        repeated message ConstraintGroup groups = 1;
    }
}

message! {
    /// All of the constraints must hold.
    ConstraintGroup {
        repeated message AttributeConstraint attribute_constraints = 1;
    }
}

message! {
    /// Something that must hold for an attribute.
    AttributeConstraint {
        required message Selector selector = 1;
        required message Predicate predicate = 2;
    }
}

enumeration! {
    /// Properties that are no attributes.
    PseudoattributeType {
        UNKNOWN Unknown = 0;
        HOSTNAME Hostname = 1;
        REGION Region = 2;
        ZONE Zone = 3;
    }
}

message! {
    /// What is looked at: one of the two.
    #[derive(Eq)]
    Selector {
        optional enumeration PseudoattributeType pseudoattribute_type = 1;
        optional string attribute_name = 2;
    }
}

message! {
    /// What must hold: one of them.
    #[derive(Eq)]
    Predicate {
        optional message Presence exists = 1;
        optional message Presence not_exists = 2;
        optional message TextPredicate text_equals = 3;
        optional message TextPredicate text_not_equals = 4;
        optional message RegexPredicate text_matches = 5;
        optional message RegexPredicate text_not_matches = 6;
    }
}

message! {
    /// Its own presence says all.
    #[derive(Copy, Eq)]
    Presence {}
}

message! {
    /// A text to compare with.
    #[derive(Eq)]
    TextPredicate {
        required string value = 1;
    }
}

message! {
    /// A regular expression of RE2 for the whole text.
    #[derive(Eq)]
    RegexPredicate {
        required string regex = 1;
    }
}
