namespace JobHub.Engine.Trees;

/// <summary>What is done to every leaf of a subtree (tree_change.kind).</summary>
internal enum TreeChangeKind : short
{
    /// <summary>Its queue row follows the tree: class, rank, paused, blocked.</summary>
    Derive = 0,
    Reset = 1,
    ResetFailed = 2,
    Start = 3,
    Delete = 4,
    Cancel = 5,
}
