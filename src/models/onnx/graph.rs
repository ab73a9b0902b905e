//! Writes an ONNX graph node by node.
//!
//! Comes in: operators, tensors. Goes out: the bytes of a model file.
//! Always holds: each value has one producer; a node's first output carries the node's name.
//! Not here: what the graph computes.

use prost::Message as _;

use super::proto::{
    AttributeProto, AttributeType, DimensionProto, ElementType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

/// Version of the file format that is written.
const IR_VERSION: i64 = 8;
/// Version of the standard operators that are used.
const OPSET: i64 = 17;
/// Domain of ONNX Runtime's fused operators.
const FUSED_DOMAIN: &str = "com.microsoft";

/// An attribute of a node.
#[derive(Debug, Clone, Copy)]
pub(super) enum Attribute {
    Int(&'static str, i64),
    Float(&'static str, f32),
}

/// A dimension: of fixed size, or given a name and open.
#[derive(Debug, Clone, Copy)]
pub(super) enum Dimension {
    Fixed(usize),
    Open(&'static str),
}

/// A graph in the making.
#[derive(Debug, Default)]
pub(super) struct GraphWriter {
    graph: GraphProto,
}

impl GraphWriter {
    /// Declares an input of the graph.
    pub(super) fn input(&mut self, name: &str, element: ElementType, shape: &[Dimension]) {
        self.graph.input.push(value_info(name, element, shape));
    }

    /// Declares an output of the graph.
    pub(super) fn output(&mut self, name: &str, element: ElementType, shape: &[Dimension]) {
        self.graph.output.push(value_info(name, element, shape));
    }

    /// Adds a constant of 32-bit floats and returns its name.
    pub(super) fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, ElementType::F32, shape, bytes)
    }

    /// Adds a constant of 64-bit integers and returns its name.
    pub(super) fn integers(&mut self, name: &str, shape: &[usize], values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, ElementType::I64, shape, bytes)
    }

    /// Adds a constant of 8-bit integers and returns its name.
    pub(super) fn bytes(&mut self, name: &str, shape: &[usize], values: &[i8]) -> String {
        let bytes = values.iter().map(|value| value.cast_unsigned()).collect();
        self.tensor(name, ElementType::I8, shape, bytes)
    }

    /// Adds a standard operator and returns its output.
    pub(super) fn standard(&mut self, operator: &str, name: &str, inputs: &[&str], attributes: &[Attribute]) -> String {
        self.node("", operator, name, inputs, &[name], attributes);
        name.to_owned()
    }

    /// Adds a fused operator of ONNX Runtime and returns its first output.
    pub(super) fn fused(&mut self, operator: &str, name: &str, inputs: &[&str], attributes: &[Attribute]) -> String {
        self.node(FUSED_DOMAIN, operator, name, inputs, &[name], attributes);
        name.to_owned()
    }

    /// Adds an operator with these outputs.
    pub(super) fn node(
        &mut self,
        domain: &str,
        operator: &str,
        name: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[Attribute],
    ) {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        self.graph.node.push(NodeProto {
            input: owned(inputs),
            output: owned(outputs),
            name: Some(name.to_owned()),
            op_type: Some(operator.to_owned()),
            attribute: attributes.iter().map(attribute).collect(),
            domain: Some(domain.to_owned()),
        });
    }

    /// Returns the bytes of the model file.
    pub(super) fn finish(mut self, name: &str) -> Vec<u8> {
        self.graph.name = Some(name.to_owned());
        let opset = |domain: &str, version| OperatorSetIdProto {
            domain: Some(domain.to_owned()),
            version: Some(version),
        };
        let model = ModelProto {
            ir_version: Some(IR_VERSION),
            producer_name: Some("groundwork".to_owned()),
            graph: Some(self.graph),
            opset_import: vec![opset("", OPSET), opset(FUSED_DOMAIN, 1)],
        };
        model.encode_to_vec()
    }

    fn tensor(&mut self, name: &str, element: ElementType, shape: &[usize], bytes: Vec<u8>) -> String {
        self.graph.initializer.push(TensorProto {
            dims: shape.iter().map(|size| size.cast_signed() as i64).collect(),
            data_type: Some(element as i32),
            name: Some(name.to_owned()),
            raw_data: Some(bytes),
        });
        name.to_owned()
    }
}

fn attribute(attribute: &Attribute) -> AttributeProto {
    match *attribute {
        Attribute::Int(name, value) => AttributeProto {
            name: Some(name.to_owned()),
            i: Some(value),
            r#type: Some(AttributeType::Int as i32),
            f: None,
        },
        Attribute::Float(name, value) => AttributeProto {
            name: Some(name.to_owned()),
            f: Some(value),
            r#type: Some(AttributeType::Float as i32),
            i: None,
        },
    }
}

fn value_info(name: &str, element: ElementType, shape: &[Dimension]) -> ValueInfoProto {
    let dim = shape
        .iter()
        .map(|dimension| match *dimension {
            Dimension::Fixed(size) => DimensionProto {
                dim_value: Some(size.cast_signed() as i64),
                dim_param: None,
            },
            Dimension::Open(name) => DimensionProto {
                dim_value: None,
                dim_param: Some(name.to_owned()),
            },
        })
        .collect();
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: Some(element as i32),
                shape: Some(TensorShapeProto { dim }),
            }),
        }),
    }
}
