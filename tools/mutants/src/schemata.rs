//! Mutant schemata: all mutants of a file in one text, each behind a switch that is read when it runs, so that one compilation
//! serves them all (R. Untch, A. J. Offutt, M. J. Harrold, "Mutation Analysis Using Mutant Schemata", ISSTA 1993).
//!
//! A line of the text is a line of the original: what a compiler says of one is found by it.

use crate::mutant::{Genre, Mutant, Place};
use proc_macro2::Span;
use quote::ToTokens;
use std::{collections::BTreeMap, fmt::Write, ops::Range};
use syn::{
    Arm, BinOp, Block, Expr, ExprBinary, ExprUnary, Pat, Signature, UnOp,
    spanned::Spanned,
    visit::{self, Visit},
};

/// The function that a switched mutant calls with its number, by which it is in [`Schema::parts`].
pub(crate) const SWITCH: &str = "crate::mutant_switch::is_on";

/// The text of a file with mutants in it.
pub(crate) struct Schema {
    pub(crate) text: String,
    /// What was put in where, in bytes of the text, from the outside to the inside.
    pub(crate) parts: Vec<Part>,
    /// Mutants that a switch cannot express: of what is computed while it compiles, and of `if let` chains.
    pub(crate) left_out: Vec<usize>,
}

/// A replaced piece.
pub(crate) struct Part {
    pub(crate) bytes: Range<usize>,
    pub(crate) lines: Range<usize>,
    pub(crate) mutants: Vec<usize>,
    /// It is the value of a function, in place of its body: if that does not compile, it never does.
    pub(crate) is_value: bool,
    /// The function of this name is not constant here, since constant ones read no switch. Where it has to be, its mutants are
    /// not for a switch.
    pub(crate) runs_only: Option<String>,
}

/// Puts mutants into a file. They go by their index in `mutants`.
///
/// # Errors
/// The text is no Rust.
pub(crate) fn schema(text: &str, mutants: &BTreeMap<usize, &Mutant>) -> syn::Result<Schema> {
    let file = syn::parse_file(text)?;
    let mut sites = Sites { by_place: BTreeMap::new(), found: Vec::new(), const_depth: 0 };
    for (index, mutant) in mutants {
        sites.by_place.entry((mutant.genre, mutant.place)).or_default().push(*index);
    }
    sites.visit_file(&file);
    let Sites { mut found, by_place, .. } = sites;
    found.sort_by_key(|site| (site.bytes.start, usize::MAX - site.bytes.end, site.what.depth()));
    let mut writer = Writer { original: text, mutants, schema: String::new(), parts: Vec::new() };
    writer.write(0..text.len(), &found);
    Ok(Schema {
        text: writer.schema,
        parts: writer.parts,
        left_out: by_place.into_values().flatten().collect(),
    })
}

/// Where something is replaced.
struct Site {
    bytes: Range<usize>,
    mutants: Vec<usize>,
    what: What,
}

enum What {
    /// The statements of a function.
    Body {
        is_opaque: bool,
    },
    Arm {
        pattern: usize,
        guard: Option<Range<usize>>,
        rest: usize,
    },
    Guard,
    Binary {
        left: Range<usize>,
        operator: &'static str,
        right: Range<usize>,
    },
    Not {
        operand: Range<usize>,
        operator: char,
    },
    /// The word `const` before a function.
    Const {
        function: String,
    },
    /// A field of a struct, the others of which are a base's.
    Field {
        path: Range<usize>,
        base: Range<usize>,
        member: String,
        value: Range<usize>,
    },
}

impl What {
    /// Of those that begin and end at the same bytes, which is around which.
    const fn depth(&self) -> u8 {
        match self {
            Self::Body { .. } | Self::Const { .. } => 0,
            Self::Arm { .. } => 1,
            Self::Guard | Self::Field { .. } => 2,
            Self::Binary { .. } | Self::Not { .. } => 3,
        }
    }
}

struct Sites {
    /// The mutants whose sites are not found yet.
    by_place: BTreeMap<(Genre, Place), Vec<usize>>,
    found: Vec<Site>,
    /// Of constants and constant functions, which read no switch.
    const_depth: usize,
}

fn place(span: Span) -> Place {
    let start = span.start();
    Place { line: start.line, column: start.column + 1 }
}

impl Sites {
    fn find(&mut self, genre: Genre, at: Span, bytes: Range<usize>, what: What) {
        if self.const_depth == 0
            && let Some(mutants) = self.by_place.remove(&(genre, place(at)))
        {
            self.found.push(Site { bytes, mutants, what });
        }
    }

    fn function(&mut self, signature: &Signature, block: &Block, visit: impl FnOnce(&mut Self)) {
        let before = self.found.len();
        if let (Some(first), Some(last)) = (block.stmts.first(), block.stmts.last()) {
            let bytes = first.span().byte_range().start..last.span().byte_range().end;
            let is_opaque = contains_impl(&signature.output);
            self.find(Genre::FnValue, first.span(), bytes, What::Body { is_opaque });
        }
        visit(self);
        let mutants: Vec<usize> =
            self.found[before..].iter().flat_map(|site| site.mutants.clone()).collect();
        if let Some(word) = &signature.constness
            && !mutants.is_empty()
        {
            let what = What::Const { function: signature.ident.to_string() };
            self.found.push(Site { bytes: word.span().byte_range(), mutants, what });
        }
    }

    fn constant(&mut self, visit: impl FnOnce(&mut Self)) {
        self.const_depth += 1;
        visit(self);
        self.const_depth -= 1;
    }
}

fn contains_impl(output: &syn::ReturnType) -> bool {
    struct Finder(bool);
    impl Visit<'_> for Finder {
        fn visit_type_impl_trait(&mut self, _: &syn::TypeImplTrait) {
            self.0 = true;
        }
    }
    let mut finder = Finder(false);
    finder.visit_return_type(output);
    finder.0
}

impl<'ast> Visit<'ast> for Sites {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block, |all| visit::visit_item_fn(all, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block, |all| visit::visit_impl_item_fn(all, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        match &item.default {
            Some(block) => {
                self.function(&item.sig, block, |all| visit::visit_trait_item_fn(all, item));
            }
            None => visit::visit_trait_item_fn(self, item),
        }
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.constant(|all| visit::visit_item_const(all, item));
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.constant(|all| visit::visit_impl_item_const(all, item));
    }

    fn visit_trait_item_const(&mut self, item: &'ast syn::TraitItemConst) {
        self.constant(|all| visit::visit_trait_item_const(all, item));
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.constant(|all| visit::visit_item_static(all, item));
    }

    fn visit_expr_const(&mut self, expr: &'ast syn::ExprConst) {
        self.constant(|all| visit::visit_expr_const(all, expr));
    }

    fn visit_type_array(&mut self, array: &'ast syn::TypeArray) {
        self.constant(|all| visit::visit_type_array(all, array));
    }

    fn visit_expr_repeat(&mut self, repeat: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeat.expr);
        self.constant(|all| all.visit_expr(&repeat.len));
    }

    // What a constant has is the function; its body runs.
    fn visit_expr_closure(&mut self, closure: &'ast syn::ExprClosure) {
        let depth = std::mem::take(&mut self.const_depth);
        visit::visit_expr_closure(self, closure);
        self.const_depth = depth;
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.constant(|all| visit::visit_variant(all, variant));
    }

    fn visit_generic_argument(&mut self, argument: &'ast syn::GenericArgument) {
        self.constant(|all| visit::visit_generic_argument(all, argument));
    }

    fn visit_pat(&mut self, pattern: &'ast Pat) {
        self.constant(|all| visit::visit_pat(all, pattern));
    }

    fn visit_arm(&mut self, arm: &'ast Arm) {
        let guard = arm.guard.as_ref().map(|(_, guard)| guard);
        if guard.is_none_or(|guard| !has_let(guard)) {
            let what = What::Arm {
                pattern: arm.pat.span().byte_range().end,
                guard: guard.map(|guard| guard.span().byte_range()),
                rest: arm.fat_arrow_token.span().byte_range().start,
            };
            self.find(Genre::MatchArm, arm.span(), arm.span().byte_range(), what);
            if let Some(guard) = guard {
                let bytes = guard.span().byte_range();
                self.find(Genre::MatchArmGuard, guard.span(), bytes, What::Guard);
            }
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_binary(&mut self, expr: &'ast ExprBinary) {
        let is_logical = matches!(expr.op, BinOp::And(_) | BinOp::Or(_));
        if !(is_logical && (has_let(&expr.left) || has_let(&expr.right)))
            && let Some(operator) = text_of(&expr.op)
        {
            let what = What::Binary {
                left: expr.left.span().byte_range(),
                operator,
                right: expr.right.span().byte_range(),
            };
            self.find(Genre::BinaryOperator, expr.op.span(), expr.span().byte_range(), what);
        }
        visit::visit_expr_binary(self, expr);
    }

    fn visit_expr_struct(&mut self, expr: &'ast syn::ExprStruct) {
        if let Some(base) = &expr.rest {
            for field in &expr.fields {
                let what = What::Field {
                    path: expr.path.span().byte_range(),
                    base: base.span().byte_range(),
                    member: field.member.to_token_stream().to_string(),
                    value: field.expr.span().byte_range(),
                };
                let bytes = field.span().byte_range();
                self.find(Genre::StructField, field.span(), bytes, what);
            }
        }
        visit::visit_expr_struct(self, expr);
    }

    fn visit_expr_unary(&mut self, expr: &'ast ExprUnary) {
        let operator = match expr.op {
            UnOp::Not(_) => '!',
            UnOp::Neg(_) => '-',
            _ => return visit::visit_expr_unary(self, expr),
        };
        let what = What::Not { operand: expr.expr.span().byte_range(), operator };
        self.find(Genre::UnaryOperator, expr.op.span(), expr.span().byte_range(), what);
        visit::visit_expr_unary(self, expr);
    }
}

/// Whether this is a part of an `if let` chain.
fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

const fn text_of(operator: &BinOp) -> Option<&'static str> {
    Some(match operator {
        BinOp::Add(_) => "+",
        BinOp::Sub(_) => "-",
        BinOp::Mul(_) => "*",
        BinOp::Div(_) => "/",
        BinOp::Rem(_) => "%",
        BinOp::And(_) => "&&",
        BinOp::Or(_) => "||",
        BinOp::BitXor(_) => "^",
        BinOp::BitAnd(_) => "&",
        BinOp::BitOr(_) => "|",
        BinOp::Shl(_) => "<<",
        BinOp::Shr(_) => ">>",
        BinOp::Eq(_) => "==",
        BinOp::Lt(_) => "<",
        BinOp::Le(_) => "<=",
        BinOp::Ne(_) => "!=",
        BinOp::Ge(_) => ">=",
        BinOp::Gt(_) => ">",
        BinOp::AddAssign(_) => "+=",
        BinOp::SubAssign(_) => "-=",
        BinOp::MulAssign(_) => "*=",
        BinOp::DivAssign(_) => "/=",
        BinOp::RemAssign(_) => "%=",
        BinOp::BitXorAssign(_) => "^=",
        BinOp::BitAndAssign(_) => "&=",
        BinOp::BitOrAssign(_) => "|=",
        BinOp::ShlAssign(_) => "<<=",
        BinOp::ShrAssign(_) => ">>=",
        _ => return None,
    })
}

struct Writer<'a> {
    original: &'a str,
    mutants: &'a BTreeMap<usize, &'a Mutant>,
    schema: String,
    parts: Vec<Part>,
}

impl Writer<'_> {
    /// Some bytes of the original, with all sites that are in them.
    fn write(&mut self, bytes: Range<usize>, sites: &[Site]) {
        let mut at = bytes.start;
        let mut rest = sites;
        while let Some((site, behind)) = rest.split_first() {
            if site.bytes.start >= bytes.end {
                break;
            }
            if site.bytes.start < at || site.bytes.end > bytes.end {
                rest = behind;
                continue;
            }
            self.schema.push_str(&self.original[at..site.bytes.start]);
            self.replace(site, behind);
            at = site.bytes.end;
            rest = behind;
        }
        self.schema.push_str(&self.original[at..bytes.end]);
    }

    fn replace(&mut self, site: &Site, inner: &[Site]) {
        let start = self.schema.len();
        let index = self.parts.len();
        let line = 1 + self.schema.bytes().filter(|byte| *byte == b'\n').count();
        self.parts.push(Part {
            bytes: start..start,
            lines: line..line,
            mutants: site.mutants.clone(),
            is_value: false,
            runs_only: match &site.what {
                What::Const { function } => Some(function.clone()),
                _ => None,
            },
        });
        match &site.what {
            What::Body { is_opaque } => self.body(site, *is_opaque, line, inner),
            What::Arm { pattern, guard, rest } => {
                self.arm(site, *pattern, guard.as_ref(), *rest, inner);
            }
            What::Guard => self.guard(site, inner),
            What::Binary { left, operator, right } => {
                self.binary(site, left, operator, right, inner);
            }
            What::Const { .. } => {}
            What::Field { path, base, member, value } => {
                let (path, base) =
                    (&self.original[path.clone()], one_line(&self.original[base.clone()]));
                self.put(format_args!(
                    "{member}: if {SWITCH}({}) {{ let it: {path} = {base}; it.{member} }} else {{ ",
                    site.mutants[0]
                ));
                self.write(value.clone(), inner);
                self.schema.push_str(" }");
            }
            What::Not { operand, operator } => {
                self.schema.push_str("(match (");
                self.write(operand.clone(), inner);
                self.put(format_args!(
                    ") {{ it => if {SWITCH}({}) {{ it }} else {{ {operator}it }} }})",
                    site.mutants[0]
                ));
            }
        }
        let lines = self.schema[start..].bytes().filter(|byte| *byte == b'\n').count();
        self.parts[index].bytes.end = self.schema.len();
        self.parts[index].lines.end = line + lines + 1;
    }

    fn body(&mut self, site: &Site, is_opaque: bool, line: usize, inner: &[Site]) {
        for mutant in &site.mutants {
            let start = self.schema.len();
            let value = &self.mutants[mutant].replacement;
            self.put(format_args!("if {SWITCH}({mutant}) {{ return {value}; }} "));
            self.parts.push(Part {
                bytes: start..self.schema.len(),
                lines: line..line + 1,
                mutants: vec![*mutant],
                is_value: !is_opaque,
                runs_only: None,
            });
        }
        self.write(site.bytes.clone(), inner);
    }

    fn arm(
        &mut self,
        site: &Site,
        pattern: usize,
        guard: Option<&Range<usize>>,
        rest: usize,
        inner: &[Site],
    ) {
        self.write(site.bytes.start..pattern, inner);
        self.put(format_args!(" if !{SWITCH}({})", site.mutants[0]));
        if let Some(guard) = guard {
            self.schema.push_str(&newlines(&self.original[pattern..guard.start]));
            self.schema.push_str(" && (");
            self.write(guard.clone(), inner);
            self.schema.push(')');
            self.schema.push_str(&newlines(&self.original[guard.end..rest]));
        } else {
            self.schema.push_str(&newlines(&self.original[pattern..rest]));
        }
        self.schema.push(' ');
        self.write(rest..site.bytes.end, inner);
    }

    fn guard(&mut self, site: &Site, inner: &[Site]) {
        // `||` binds less than `&&`, so it is the first.
        for (value, not, operator) in [("true", "", "||"), ("false", "!", "&&")] {
            for mutant in &site.mutants {
                if self.mutants[mutant].replacement == value {
                    self.put(format_args!("{not}{SWITCH}({mutant}) {operator} "));
                }
            }
        }
        self.schema.push('(');
        self.write(site.bytes.clone(), inner);
        self.schema.push(')');
    }

    fn binary(
        &mut self,
        site: &Site,
        left: &Range<usize>,
        operator: &str,
        right: &Range<usize>,
        inner: &[Site],
    ) {
        let between = newlines(&self.original[left.end..right.start]);
        if matches!(operator, "&&" | "||") {
            // The right one is evaluated only where it was.
            let (not, mutant) = (if operator == "&&" { "" } else { "!" }, site.mutants[0]);
            self.put(format_args!("(if {not}("));
            self.write(left.clone(), inner);
            self.put(format_args!(") ^ {SWITCH}({mutant}) {{{between}"));
            self.write(right.clone(), inner);
            self.put(format_args!("}} else {{ {not}{SWITCH}({mutant}) }})"));
            return;
        }
        let is_comparison = matches!(operator, "==" | "!=" | "<" | "<=" | ">" | ">=");
        let is_assignment = operator.ends_with('=') && !is_comparison;
        if is_assignment {
            // The right side first, as it is evaluated: only then may the left one borrow.
            self.schema.push_str("(match (");
            self.write(right.clone(), inner);
            self.schema.push_str(") { r => match (&mut (");
            self.write(left.clone(), inner);
            self.put(format_args!("{between})) {{ l => "));
        } else {
            let reference = if is_comparison { "&" } else { "" };
            self.put(format_args!("(match ({reference}("));
            self.write(left.clone(), inner);
            self.put(format_args!("),{between} {reference}("));
            self.write(right.clone(), inner);
            self.schema.push_str(")) { (l, r) => ");
        }
        let place = if is_assignment { "*" } else { "" };
        for mutant in &site.mutants {
            let other = &self.mutants[mutant].replacement;
            self.put(format_args!("if {SWITCH}({mutant}) {{ {place}l {other} r }} else "));
        }
        self.put(format_args!("{{ {place}l {operator} r }} "));
        self.schema.push_str(if is_assignment { "}})" } else { "})" });
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = self.schema.write_fmt(text);
    }
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

/// So that lines keep their numbers.
fn newlines(text: &str) -> String {
    text.chars().filter(|character| *character == '\n').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with all mutants of a kind of a place, and what it is with them.
    fn with(text: &str, mutants: &[(Genre, &str, &str)]) -> Schema {
        let mutants: Vec<Mutant> = mutants
            .iter()
            .map(|(genre, at, replacement)| {
                let offset = text.find(at).expect("the text has it");
                let before = &text[..offset];
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
                Mutant {
                    name: String::new(),
                    file: String::new(),
                    genre: *genre,
                    place: Place { line, column },
                    replacement: (*replacement).into(),
                }
            })
            .collect();
        let schema = schema(text, &mutants.iter().enumerate().collect()).expect("it is Rust");
        assert_eq!(
            schema.text.matches('\n').count(),
            text.matches('\n').count(),
            "lines keep their numbers: {}",
            schema.text
        );
        syn::parse_file(&schema.text).unwrap_or_else(|error| panic!("{error}: {}", schema.text));
        schema
    }

    fn text(original: &str, mutants: &[(Genre, &str, &str)]) -> String {
        let Schema { text, left_out, .. } = with(original, mutants);
        assert!(left_out.is_empty(), "{text}");
        text.replace(SWITCH, "on")
    }

    #[test]
    fn values_come_before_the_body() {
        let original = "fn f() -> u8 {\n    1 + g()\n}\n";
        let all = [
            (Genre::FnValue, "1 +", "0"),
            (Genre::FnValue, "1 +", "1"),
            (Genre::BinaryOperator, "+", "-"),
        ];
        assert_eq!(
            text(original, &all),
            "fn f() -> u8 {\n    if on(0) { return 0; } if on(1) { return 1; } \
             (match ((1), (g())) { (l, r) => if on(2) { l - r } else { l + r } })\n}\n"
        );
        let parts = with(original, &all).parts;
        let values: Vec<_> =
            parts.iter().map(|part| (part.mutants.clone(), part.is_value)).collect();
        let body = (vec![0, 1], false);
        assert_eq!(values, [body, (vec![0], true), (vec![1], true), (vec![2], false)]);
        let opaque = "fn f() -> impl Fn() { || () }";
        let parts = with(opaque, &[(Genre::FnValue, "|| ()", "g()")]).parts;
        assert!(parts.iter().all(|part| !part.is_value), "another value has another type");
    }

    #[test]
    fn the_right_side_is_evaluated_only_where_it_was() {
        let both = [(Genre::BinaryOperator, "&&", "||"), (Genre::BinaryOperator, "||", "&&")];
        assert_eq!(
            text("fn f() -> bool { a() && b() || c() }", &both),
            "fn f() -> bool { (if !((if (a()) ^ on(0) {b()} else { on(0) })) ^ on(1) {c()} else { !on(1) }) }"
        );
    }

    #[test]
    fn comparisons_move_nothing_and_assignments_borrow_last() {
        assert_eq!(
            text("fn f() { let a = s\n< t; }", &[(Genre::BinaryOperator, "<", "==")]),
            "fn f() { let a = (match (&(s),\n &(t)) { (l, r) => if on(0) { l == r } else { l < r } }); }"
        );
        assert_eq!(
            text("fn f() { self.a += self.b(); }", &[(Genre::BinaryOperator, "+=", "-=")]),
            "fn f() { (match (self.b()) { r => match (&mut (self.a)) { l => \
             if on(0) { *l -= r } else { *l += r } }}); }"
        );
        assert_eq!(
            text("fn f() { g(!h()) }", &[(Genre::UnaryOperator, "!", "")]),
            "fn f() { g((match (h()) { it => if on(0) { it } else { !it } })) }"
        );
    }

    #[test]
    fn arms_go_by_their_guards() {
        let original =
            "fn f() { match a {\n    1 if b => c,\n    2\n    | 3 => d,\n    _ => e,\n} }";
        let all = [
            (Genre::MatchArm, "1 if", ""),
            (Genre::MatchArmGuard, "b =>", "false"),
            (Genre::MatchArmGuard, "b =>", "true"),
            (Genre::MatchArm, "2\n", ""),
        ];
        assert_eq!(
            text(original, &all),
            "fn f() { match a {\n    1 if !on(0) && (on(2) || !on(1) && (b)) => c,\n    \
             2\n    | 3 if !on(3) => d,\n    _ => e,\n} }"
        );
    }

    #[test]
    fn fields_are_the_bases() {
        assert_eq!(
            text("fn f() { S { a: 1, b, ..T::new() } }", &[(Genre::StructField, "b,", "")]),
            "fn f() { S { a: 1, b: if on(0) { let it: S = T::new(); it.b } else { b }, ..T::new() } }"
        );
    }

    #[test]
    fn what_is_constant_has_no_switch() {
        let schema = with("const fn f() -> u8 { 1 + 1 }", &[(Genre::BinaryOperator, "+", "-")]);
        assert!(schema.text.starts_with(" fn f()"), "it runs only: {}", schema.text);
        assert_eq!(schema.parts[0].runs_only.as_deref(), Some("f"));
        for original in [
            "const A: u8 = 1 + 1;",
            "static A: u8 = 1 + 1;",
            "fn f(a: [u8; 1 + 1]) {}",
            "fn f() { [0; 1 + 1] }",
            "enum A { B = 1 + 1 }",
            "fn f() { const { 1 + 1 } }",
        ] {
            let schema = with(original, &[(Genre::BinaryOperator, "+", "-")]);
            assert_eq!((schema.text.as_str(), schema.left_out), (original, vec![0]));
        }
        let schema = with("const A: fn() -> u8 = || 1 + 1;", &[(Genre::BinaryOperator, "+", "-")]);
        assert!(schema.left_out.is_empty(), "a constant function's body is not: {}", schema.text);
        let chain = "fn f() { if let Some(a) = b && a {} }";
        assert_eq!(with(chain, &[(Genre::BinaryOperator, "&&", "||")]).left_out, [0]);
    }
}
