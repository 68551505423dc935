use clap::Parser;
#[derive(clap::Parser)]
struct Typed {
    #[command(flatten)]
    emit: pinflow::emit::EmitArgs,
}
fn main() -> anyhow::Result<()> {
    pinflow::emit::run(Typed::parse().emit)
}
