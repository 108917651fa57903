using System.Buffers;

namespace JobHub.Worker.Runtime.Sockets;

/// <summary>A member as it stands in the output: quoted name from Start to NameEnd, value up to End.</summary>
internal readonly record struct Member(int Start, int NameEnd, int End);

/// <summary>The members of the objects that are open, innermost last; one a thread.</summary>
internal sealed class MemberStack
{
    private Member[] _members = new Member[64];

    public int Count { get; private set; }

    public void Push(Member member)
    {
        if (Count == _members.Length)
        {
            Array.Resize(ref _members, Count * 2);
        }

        _members[Count++] = member;
    }

    public void Pop(int to)
    {
        Count = to;
        if (to == 0 && _members.Length > 4096)
        {
            _members = new Member[64];
        }
    }

    /// <summary>Puts the members from index on into the order of their names, in place; false when two names are equal.</summary>
    public bool Arrange(int from, ByteBuffer output)
    {
        var members = _members.AsSpan(from, Count - from);
        var order = new ByName(output.Array);
        var ascending = true;
        for (var i = 1; i < members.Length && ascending; i++)
        {
            ascending = order.Compare(members[i - 1], members[i]) < 0;
        }

        if (ascending)
        {
            return true;
        }

        var start = members[0].Start;
        var length = output.Length - start;
        members.Sort(order);
        for (var i = 1; i < members.Length; i++)
        {
            if (order.Compare(members[i - 1], members[i]) == 0)
            {
                return false;
            }
        }

        var copy = ArrayPool<byte>.Shared.Rent(length);
        output.Span[start..].CopyTo(copy);
        output.Truncate(start);
        foreach (var member in members)
        {
            if (output.Length > start)
            {
                output.Append((byte)',');
            }

            output.Append(copy.AsSpan(member.Start - start, member.End - member.Start));
        }

        ArrayPool<byte>.Shared.Return(copy);
        return true;
    }

    private readonly struct ByName(byte[] text) : IComparer<Member>
    {
        public int Compare(Member x, Member y)
        {
            var left = text.AsSpan(x.Start + 1, x.NameEnd - x.Start - 2);
            var right = text.AsSpan(y.Start + 1, y.NameEnd - y.Start - 2);
            if (!left.Contains((byte)'\\') && !right.Contains((byte)'\\'))
            {
                return left.SequenceCompareTo(right);
            }

            // Escaped names: the order is that of the bytes they stand for.
            Unescaped a = new(left), b = new(right);
            while (true)
            {
                int l = a.Next(), r = b.Next();
                if (l != r || l < 0)
                {
                    return l.CompareTo(r);
                }
            }
        }
    }

    /// <summary>The bytes that a canonical name stands for; half a surrogate pair counts as the three bytes of its code.</summary>
    private ref struct Unescaped(ReadOnlySpan<byte> text)
    {
        private readonly ReadOnlySpan<byte> _text = text;
        private int _at;
        private int _pending;

        public int Next()
        {
            if (_pending != 0)
            {
                var next = _pending & 0xff;
                _pending >>= 8;
                return next;
            }

            if (_at == _text.Length)
            {
                return -1;
            }

            if (_text[_at] != '\\')
            {
                return _text[_at++];
            }

            var kind = _text[_at + 1];
            if (kind != 'u')
            {
                _at += 2;
                return kind switch
                {
                    (byte)'b' => '\b', (byte)'f' => '\f', (byte)'n' => '\n', (byte)'r' => '\r', (byte)'t' => '\t', _ => kind,
                };
            }

            var code = int.Parse(_text.Slice(_at + 2, 4), System.Globalization.NumberStyles.AllowHexSpecifier);
            _at += 6;
            if (code < 0x80)
            {
                return code;
            }

            _pending = 0x80 | ((code >> 6) & 0x3f) | ((0x80 | (code & 0x3f)) << 8);
            return 0xe0 | (code >> 12);
        }
    }
}
