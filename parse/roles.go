package parse

// RoleValue gives the value ("Mail.Read") of a permission id as it stands in
// AppRole.Id and in RequiredResourceAccess, for app roles and delegated scopes
// of Microsoft's APIs that matter to who can read mail, files and the
// directory, or can give itself that. It returns "" for an id it does not know.
// The id must be in lower case.
//
// Source: Microsoft Graph permissions reference; the service principals of
// Office 365 Exchange Online and Office 365 Management APIs.
func RoleValue(id string) string {
	switch id {
	// App roles: without a user, for every mailbox, site or object.
	case "dc890d15-9560-4a4c-9b7f-a736ec74ec40":
		return "full_access_as_app"
	case "dc50a0fb-09a3-484d-be87-e023b12c6440":
		return "Exchange.ManageAsApp"
	case "810c84a8-4a9e-49e6-bf7d-12d183f40d01":
		return "Mail.Read"
	case "e2a3a72e-5f79-4c64-b1b1-878b674786c9":
		return "Mail.ReadWrite"
	case "b633e1c5-b582-4048-a93e-9f11b44c7e96":
		return "Mail.Send"
	case "6be147d2-ea4f-4b5a-a3fa-3eab6f3c140a":
		return "Mail.ReadBasic"
	case "693c5e45-0940-467d-9b8a-1022fb9d42ef":
		return "Mail.ReadBasic.All"
	case "40f97065-369a-49f4-947c-6a255697ae91":
		return "MailboxSettings.Read"
	case "6931bccd-447a-43d1-b442-00a195474933":
		return "MailboxSettings.ReadWrite"
	case "089fe4d0-434a-44c5-8827-41ba8a0b17f5":
		return "Contacts.Read"
	case "6918b873-d17a-4dc1-b314-35f528134491":
		return "Contacts.ReadWrite"
	case "798ee544-9d2d-430c-a058-570e29e34338":
		return "Calendars.Read"
	case "01d4889c-1287-42c6-ac1f-5d1e02578ef6":
		return "Files.Read.All"
	case "75359482-378d-4052-8f01-80520e7db3cd":
		return "Files.ReadWrite.All"
	case "332a536c-c7ef-4017-ab91-336970924f0d":
		return "Sites.Read.All"
	case "9492366f-7969-46a4-8d15-ed1a20078fff":
		return "Sites.ReadWrite.All"
	case "a82116e5-55eb-4c41-a434-62fe8a61c773":
		return "Sites.FullControl.All"
	case "6b7d71aa-70aa-4810-a8d9-5d9fb2830017":
		return "Chat.Read.All"
	case "62a82d76-70ea-41e2-9197-370581804d09":
		return "Group.ReadWrite.All"
	case "741f803b-c850-494e-b5df-cde7c675a1ca":
		return "User.ReadWrite.All"
	case "df021288-bdef-4463-88db-98f22de89214":
		return "User.Read.All"
	case "7ab1d382-f21e-4acd-a863-ba3e13f7da61":
		return "Directory.Read.All"
	case "19dbc75e-c2e2-444c-a770-ec69d8559fc7":
		return "Directory.ReadWrite.All"
	case "06b708a9-e830-4db3-a914-8e69da51d44f":
		return "AppRoleAssignment.ReadWrite.All"
	case "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9":
		return "Application.ReadWrite.All"
	case "9e3f62cf-ca93-4989-b6ce-bf83c28f9fe8":
		return "RoleManagement.ReadWrite.Directory"
	case "5e5addcd-3e8d-4e90-baf5-964efab2b20a":
		return "IMAP.AccessAsApp"
	case "cb842b43-da6e-4506-86fe-bb12199c656d":
		return "POP.AccessAsApp"
	case "7146a1f0-8703-45b3-9eae-527a64c00995":
		return "SMTP.SendAsApp"

	// Delegated scopes: with a user, for what that user may reach.
	case "570282fd-fa5c-430d-a7fd-fc8dc98a9dca":
		return "Mail.Read"
	case "024d486e-b451-40bb-833d-3e66d98c5c73":
		return "Mail.ReadWrite"
	case "3b5f3d61-589b-4a3c-a359-5dd4b5ee5bd5":
		return "EWS.AccessAsUser.All"
	case "e1fe6dd8-ba31-4d61-89e7-88639da4683d":
		return "User.Read"
	}
	return ""
}

// DirectoryRole gives the name of a directory role by its template id, for
// the roles that matter to who can reach mail or raise itself to it. The id
// must be in lower case.
//
// Source: "Microsoft Entra built-in roles".
func DirectoryRole(template string) string {
	switch template {
	case "62e90394-69f5-4237-9190-012177145e10":
		return "Global Administrator"
	case "29232cdf-9323-42fd-ade2-1d097af3e4de":
		return "Exchange Administrator"
	case "e8611ab8-c189-46e8-94e1-60213ab1f814":
		return "Privileged Role Administrator"
	case "7be44c8a-adaf-4e2a-84d6-ab2649e08a13":
		return "Privileged Authentication Administrator"
	case "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3":
		return "Application Administrator"
	case "158c047a-c907-4556-b7ef-446551a6b5f7":
		return "Cloud Application Administrator"
	case "fe930be7-5e62-47db-91af-98c3a49a38b1":
		return "User Administrator"
	case "c4e39bd9-1100-46d3-8c65-fb160da0071f":
		return "Authentication Administrator"
	case "0526716b-113d-4c15-b2c8-68e3c22b9f80":
		return "Authentication Policy Administrator"
	case "194ae4cb-b126-40b2-bd5b-6091b380977d":
		return "Security Administrator"
	case "b1be1c3e-b65d-4f19-8427-f6fa0d97feb9":
		return "Conditional Access Administrator"
	case "729827e3-9c14-49f7-bb1b-9608f156bbb8":
		return "Helpdesk Administrator"
	case "966707d0-3269-4727-9be2-8c3a10f19b9d":
		return "Password Administrator"
	case "f28a1f50-f6e7-4571-818b-6a12f2af6b6c":
		return "SharePoint Administrator"
	case "69091246-20e8-4a56-aa4d-066075b2a7a8":
		return "Teams Administrator"
	case "8ac3fc64-6eca-42ea-9e69-59f4c7b60eb2":
		return "Hybrid Identity Administrator"
	case "8329153b-31d0-4727-b945-745eb3bc5f31":
		return "Domain Name Administrator"
	case "be2f45a1-457d-42af-a067-6ec1fa63bc45":
		return "External Identity Provider Administrator"
	case "17315797-102d-40b4-93e0-432062caca18":
		return "Compliance Administrator"
	case "f2ef992c-3afb-46b9-b7cf-a126ee74c451":
		return "Global Reader"
	case "5d6b6bb7-de71-4623-b4af-96380a352509":
		return "Security Reader"
	case "88d8e3e3-8f55-4a1e-953a-9b9898b8876b":
		return "Directory Readers"
	case "9360feb5-f418-4baa-8175-e2a00bac4301":
		return "Directory Writers"
	case "d29b2b05-8046-44ba-8758-1e26182fcf32":
		return "Directory Synchronization Accounts"
	}
	return ""
}

// resourceName gives the name of a Microsoft API by its application id.
func resourceName(id string) string {
	switch id {
	case "00000002-0000-0ff1-ce00-000000000000":
		return "Office 365 Exchange Online"
	case "00000003-0000-0000-c000-000000000000":
		return "Microsoft Graph"
	case "00000003-0000-0ff1-ce00-000000000000":
		return "Office 365 SharePoint Online"
	case "00000002-0000-0000-c000-000000000000":
		return "Windows Azure Active Directory"
	case "c5393580-f805-4401-95e8-94b7a6ef2fc2":
		return "Office 365 Management APIs"
	}
	return ""
}
