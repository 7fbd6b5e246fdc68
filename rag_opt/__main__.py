"""python -m rag_opt: the commands."""

COMMANDS = {
    "search": ("key=value …", "find the best pipeline; the same command resumes"),
    "check": ("[--judge FILE] key=value …", "what search would refuse, and the machine; or a judge against labels"),
    "estimate": ("key=value …", "what a search would build, take and be able to show, before it is begun"),
    "export": ("outputs/<study> --out bundle/", "write the winner as a bundle that answers on its own"),
    "questions": ("make | label  key=value …", "write questions for documents that have none, or find their evidence"),
    "store": ("list | verify | evict", "what is stored, whether it is sound, and how to make room"),
    "parts_table": ("[--markdown]", "every part that a space can name, with settings, defaults and ranges"),
    "card": ("MODEL [--golden] [--out FILE]", "the card of an embedding model, as it is or as its own files say"),
    "track": ("outputs/<study>", "deliver to MLflow what still waits"),
}

if __name__ == "__main__":
    print("Find the best RAG pipeline for your own documents.\n")
    for name, (arguments, what) in COMMANDS.items():
        print(f"  python -m rag_opt.{name:<11} {arguments:<31} {what}")
    print("\n--help after any of them says more.")
