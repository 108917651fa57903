using Microsoft.AspNetCore.Components;
using Microsoft.AspNetCore.Components.Authorization;

namespace JobHub.Web.Components.Pages.Data;

/// <summary>A page for whoever has signed in, in development too: it is about himself, or for administrators.</summary>
[Microsoft.AspNetCore.Authorization.Authorize]
public abstract class SignedInPage : HubPage
{
    [CascadingParameter] private Task<AuthenticationState> Who { get; set; } = default!;

    /// <summary>The roles of the visitor's account.</summary>
    protected System.Security.Claims.ClaimsPrincipal Visitor { get; private set; } = new();

    protected sealed override async Task LoadAsync(CancellationToken ct)
    {
        Visitor = (await Who).User;
        // A link within the dashboard asks no server for the page; loaded anew, the server asks for a sign-in.
        if (Visitor.Identity is not { IsAuthenticated: true }) Navigation.NavigateTo(Navigation.Uri, forceLoad: true);
        else await LoadSignedInAsync(ct);
    }

    /// <summary>Asks the Api for all that the page shows now.</summary>
    protected abstract Task LoadSignedInAsync(CancellationToken ct);
}
